"""The documents whose readers have the extras are read, each where what its commands leave is looked at."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.integration.test_docs import WITH_EXTRAS

READ_IN = {
    "adopt.md": "test_hydra.py",
    "checkpoints.md": "test_hydra.py",
    "containers.md": "test_hydra.py",
    "experiments.md": "test_hydra.py",
    "lab.md": "test_lab.py",
    "pipeline.md": "test_pipeline_job.py",
    "task-classes.md": "test_task_runs.py",
    "template.md": "test_setup.py",
    "workbench.md": "test_save_mlflow_lab.py",
}


def test_there_is_a_reader_for_each() -> None:
    assert set(READ_IN) == set(WITH_EXTRAS)


@pytest.mark.parametrize("name", READ_IN)
def test_it_is_read(name: str) -> None:
    code = (ROOT / "tests/research" / READ_IN[name]).read_text("utf-8")
    assert re.search(rf'\.read\(\s*"{name}"', code)
