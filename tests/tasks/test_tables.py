"""Jobs as lines of a table."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest

from remote.job.messages.gpus import Gpu, GpuHolder, GpuProcess, GpusAnswer
from remote.job.messages.jobs import JobSummary, Metric
from remote.job.messages.old_jobs import Change, DifferencesAnswer
from remote.job.status import LeasedGpu, Progress
from remote.tasks import tables
from tests.conftest import ROOT


def job(**changes: Any) -> JobSummary:
    facts = {"id": "20260101-100000-a-ffff", "state": "running", "submitted": 100.0, **changes}
    return JobSummary(**facts)


def leased(index: int, name: str = "A100") -> LeasedGpu:
    return LeasedGpu(index=index, uuid=f"GPU-{index}", name=name)


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({"state": "queued", "waiting": "waiting for a GPU"},
         ("queued", "-", "2 min 00 s", "", "waiting for a GPU")),
        ({"running": 160.0, "gpus": (leased(0), leased(3))},
         ("running", "0,3", "1 min 00 s", "", "")),
        ({"running": 210.0, "progress": Progress(7, 12),
          "metrics": (Metric("loss", 0.12345678, 90),)},
         ("running", "-", "10 s", "cell 7/12, loss=0.1235 (step 90)", "")),
        ({"running": 210.0, "children": {"RUNNING": 2, "FINISHED": 5, "FAILED": 1}},
         ("running", "-", "10 s", "6 runs done, 2 running", "")),
        ({"state": "failed", "running": 110.0, "ended": 115.0, "cause": "out of GPU memory",
          "attempt": 3, "result": "data/x.failed.ipynb"},
         ("failed", "-", "5 s", "", "out of GPU memory, attempt 3, data/x.failed.ipynb")),
        ({"state": "finished", "running": 110.0, "ended": 115.0, "cause": "", "attempt": 1},
         ("finished", "-", "5 s", "", "")),
    ],
)  # fmt: skip
def test_rows(changes: dict[str, Any], cells: tuple[str, ...]) -> None:
    shown = tables.row(job(**changes, asked="train.ipynb --epoch 9"), 220.0)
    assert shown[4] == "train.ipynb --epoch 9" and (*shown[1:4], *shown[5:]) == cells


MANY = """
from remote.job.messages.jobs import JobSummary
from remote.output import print_lines
from remote.tasks import tables
ids = ["20260101-100000-a-ffff", "20260102-100000-a-ffff", "20260103-100000-b-eeee"]
jobs = [JobSummary(id=i, state="failed", submitted=1.0, ended=9.0, asked="train.ipynb " + "--lr 1 " * 20,
    cause="ValueError: my own failure (cell 4)") for i in ids]
print_lines(*tables.job_table(jobs, 9.0))
"""


def on_terminal(columns: int, **env: str) -> list[str]:
    """The lines that MANY's table has there."""
    master, slave = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "PYTHONUTF8": "1", "TERM": "xterm", **env}
    with subprocess.Popen([sys.executable, "-c", MANY], stdout=slave, env=env, cwd=ROOT) as process:
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):
            while piece := os.read(master, 1 << 16):
                seen += piece
    os.close(master)
    assert process.returncode == 0
    return seen.decode().replace("\r\n", "\n").splitlines()


def test_a_table_of_jobs_fits_the_terminal_and_keeps_why_they_failed() -> None:
    lines = on_terminal(80)
    plain = [re.sub(r"\x1b\[[0-9]*m", "", line) for line in lines]
    assert all(len(line) < 80 for line in plain)
    assert plain[3].startswith("b-eeee ") and plain[3].endswith("ValueError: my own failure (cel…")
    assert plain[1].startswith("20260101-100000-a-ffff "), "two end alike: both keep their whole id"
    assert "\x1b[31mfailed" in lines[3]


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_nobody_wants_them(env: dict[str, str]) -> None:
    lines = on_terminal(200, **env)
    assert "\x1b" not in "".join(lines) and "b-eeee" in lines[3]
    assert lines[3].endswith("ValueError: my own failure (cell 4)")


def test_all_of_one_job_is_told() -> None:
    told = job(
        asked="train.ipynb --epoch 9",
        parameters={"epoch": "9", "lr": "0.1"},
        retries=2,
        timeout=3600,
        variables=("A", "B"),
    )
    lines = " ".join(" ".join(tables.job_details(told, 220.0)).split())
    assert "what: train.ipynb --epoch 9 parameters: epoch=9, lr=0.1 variables: A B" in lines
    assert "retries: 2 timeout: 1 h 00 min" in lines


def test_what_a_server_says_does_not_steer_the_terminal() -> None:
    lines = tables.job_table([job(cause="\x1b]0;owned\x07", state="failed")], 220.0)
    lines += tables.job_details(job(cause="\x1b[2J", host="a\nstate: fine"), 220.0)
    assert all(line.isprintable() for line in lines) and r"\x1b]0;owned\x07" in lines[1]


def test_a_gpu_is_told_with_who_holds_it() -> None:
    gpu = Gpu(0, "GPU-0", "A100", memory_total=81920, memory_used=2048, driver="550")
    stranger = GpuProcess(7, user="alice", name="python", memory=100)
    holder = GpuHolder(job="id-of-job", user="bob", pid=3)
    cases: list[tuple[tuple[GpuProcess, ...], GpuHolder | None, str]] = [
        ((), None, "-"),
        ((stranger,), None, "alice's python (7)"),
        ((stranger,), holder, "id-of-job (bob)"),
        ((), holder.replace(job=""), "a job of bob"),
    ]
    for processes, held, shown in cases:
        report = gpu.replace(processes=processes, holder=held)
        answer = GpusAnswer(gpus=(report,), waiting=(), now=0)
        assert tables.gpu_table(answer)[1] == f"0    A100  2.0/80 GiB  -     {shown}"
    both = (holder.replace(share=0.5), holder.replace(job="other", share=0.25))
    report = gpu.replace(holder=both[0], sharers=both)
    line = tables.gpu_table(GpusAnswer(gpus=(report,), waiting=(), now=0))[1]
    assert line.endswith("0.5 id-of-job (bob), 0.25 other (bob)")


def test_differences() -> None:
    nothing = DifferencesAnswer(ids=("a", "b"), asked=(), packages=(), became=(), code=())
    assert tables.difference_lines(nothing) == ["a -> b", "nothing differs"]
    asked = (Change("parameters.epoch", 1, 2), Change("gpus", None, 0))
    lines = tables.difference_lines(nothing.replace(asked=asked, code=("--- a/x", "+++ b/x")))
    assert "  parameters.epoch: 1 -> 2" in lines and "  gpus: - -> 0" in lines
    assert lines[-2:] == ["--- a/x", "+++ b/x"]


def test_all_about_one_job() -> None:
    found = job(
        state="failed",
        running=110.0,
        ended=115.0,
        exit_code=1,
        cause="out of GPU memory",
        peak_memory=2_000_000,
        peak_gpu_memory=40_000,
        gpus=(leased(1),),
        driver="550.1",
        cuda="12.4",
    )
    lines = dict(line.split(":", 1) for line in tables.job_details(found, 200.0))
    assert lines["cause"].strip() == "out of GPU memory" and lines["exit code"].strip() == "1"
    assert lines["GPUs"].strip() == "1: A100, driver 550.1, CUDA 12.4"
    assert lines["peak memory"].strip() == "2.0 MB"
    assert lines["peak GPU memory"].strip() == "40000 MiB"
    assert "waiting" not in lines and "result" not in lines
