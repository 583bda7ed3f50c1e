"""Who holds which GPU, told from the locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.gpus import holders as holding
from remote.agent.gpus.holders import Holder, holders
from tests.agent.gpus.jobs import (
    HOLDER,
    Start,
    get,
    hold,
    reason,
)
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus, uuid


def test_a_holder_is_told_from_its_lock(fake: FakeGpus, folder: Path, start: Start) -> None:
    holder = hold(start, folder)
    user = processes.user_name(os.getuid())
    assert holders(folder) == {uuid(0): Holder(holder.pid, user, "")}
    assert f"GPU 0: a job of {user}, process {holder.pid}" in reason(folder, 4)


@pytest.mark.parametrize("verb", ["work", "work-here"])
def test_a_worker_is_told_by_its_job(
    fake: FakeGpus, folder: Path, start: Start, verb: str, tmp_path: Path
) -> None:
    """The command line is that of a real worker, and the rest comes by the environment."""
    agent = tmp_path / "agent.py"
    words = repr(["x", str(folder), "j", "1", "1"])
    agent.write_text(f"import sys\nsys.argv = {words}\nexec({HOLDER!r})\n")
    argv = [sys.executable, str(agent), verb, "0" * 16, "20260101-000000-a-job-12ab"]
    worker = subprocess.Popen(
        argv,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout and worker.stdout.readline() == "in line\n"
        assert worker.stdout.readline().startswith("got")
        found = holders(folder)[uuid(0)]
        assert found.pid == worker.pid and found.job == "20260101-000000-a-job-12ab"
        assert "GPU 0: job 20260101-000000-a-job-12ab" in reason(folder, 4)
    finally:
        worker.kill()
        worker.communicate()


def test_a_hostile_command_line_is_no_job(folder: Path) -> None:
    assert holding.job_of(["python", "agent.zip", "work", "k", "j\x1b[2J", ""]) == ""
    assert holding.job_of(["work", "k", "j", ""]) == "j"
    assert holding.job_of(["k", "j"]) == "" and holding.job_of([]) == ""


def test_where_the_system_tells_nothing_the_holder_is_unknown(
    fake: FakeGpus, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PROC", tmp_path / "no proc")
    with get(folder):
        assert holders(folder) == {uuid(0): Holder()}
        assert "GPU 0: another job" in reason(folder, 4)
