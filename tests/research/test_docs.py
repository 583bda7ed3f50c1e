"""Documents that no other file of this folder reads: their commands are typed."""

from __future__ import annotations

import re

import pytest

from scripts.sshd import PrivateSshd
from tests.conftest import ROOT
from tests.integration.test_docs import WITH_EXTRAS
from tests.research.conftest import Make
from tests.research.researcher import Researcher, begin

#: These are read where what their commands leave is looked at.
ELSEWHERE = {
    "experiments.md": "test_hydra.py",
    "pipeline.md": "test_pipeline_job.py",
    "task-classes.md": "test_task_runs.py",
    "workbench.md": "test_save_mlflow_lab.py",
}


@pytest.fixture(scope="module")
def reader(laboratory: Make, sshd: PrivateSshd) -> Researcher:
    """One clone for all of them; template.md, which renames its package, comes last."""
    return begin(laboratory("documents"), sshd)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in WITH_EXTRAS if name not in ELSEWHERE])
def test_the_commands_of_the_documents_work(name: str, reader: Researcher) -> None:
    reader.read(name)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_others_are_read_elsewhere(name: str) -> None:
    code = (ROOT / "tests/research" / ELSEWHERE[name]).read_text("utf-8")
    assert re.search(rf'\.read\(\s*"{name}"', code)
