"""Jobs as lines of a table."""

from __future__ import annotations

from typing import Any

import pytest

from remote.job.messages.gpus import Gpu, GpuHolder, GpuProcess, GpusAnswer
from remote.job.messages.jobs import JobSummary, Metric
from remote.job.messages.old_jobs import Change, DifferencesAnswer
from remote.job.status import LeasedGpu, Progress
from remote.tasks import tables


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
         ("running", "-", "10 s", "6 runs done, 2 going", "")),
        ({"state": "failed", "running": 110.0, "ended": 115.0, "cause": "out of GPU memory",
          "attempt": 3, "result": "data/x.failed.ipynb"},
         ("failed", "-", "5 s", "", "out of GPU memory, attempt 3, data/x.failed.ipynb")),
        ({"state": "finished", "running": 110.0, "ended": 115.0, "cause": "", "attempt": 1},
         ("finished", "-", "5 s", "", "")),
    ],
)  # fmt: skip
def test_rows(changes: dict[str, Any], cells: tuple[str, ...]) -> None:
    assert tables.row(job(**changes), 220.0)[1:] == cells


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
