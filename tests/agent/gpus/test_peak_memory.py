"""The peak memory of GPUs, as a fake nvidia-smi that prints all the time tells it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remote.agent.gpus.peak_memory import PeakGpuMemory
from tests.agent.gpus.children import children_of, is_dead
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "fake gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


def test_the_peak_is_that_of_the_fullest_of_our_cards(fake: FakeGpus) -> None:
    fake.card(3, memory_used=9999)
    children = children_of(os.getpid())
    watch = PeakGpuMemory([uuid(0), uuid(1)])
    watch.start()
    try:
        until(lambda: watch.peak == 4)
        fake.card(1, memory_used=5000)
        until(lambda: watch.peak == 5000)
        fake.card(1, memory_used=10)
        fake.card(0, memory_used=4000)
        time.sleep(1.2)
    finally:
        peak = watch.stop()
    assert peak == 5000
    assert len(fake.calls()) == 1 and children_of(os.getpid()) == children


@pytest.mark.parametrize("failure", ["driver", "none", "lost"])
def test_a_failing_nvidia_smi_has_no_peak(fake: FakeGpus, failure: str) -> None:
    fake.change(failure=failure)
    watch = PeakGpuMemory([uuid(0)])
    watch.start()
    assert watch.stop() == 0


def test_no_nvidia_smi_has_no_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    watch = PeakGpuMemory([uuid(0)])
    watch.start()
    assert watch.stop() == 0


def test_a_watch_that_never_began(fake: FakeGpus) -> None:
    assert PeakGpuMemory([uuid(0)]).stop() == 0


def test_garbage_has_no_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"printf '\\377\\n{uuid(0)}\\n{uuid(0)}, [N/A]\\n{uuid(0)}, 7\\n'; exec sleep 60"
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    watch = PeakGpuMemory([uuid(0)])
    watch.start()
    until(lambda: watch.peak == 7)
    assert watch.stop() == 7


def test_nvidia_smi_ends_soon_after_its_owner_is_killed(fake: FakeGpus) -> None:
    code = f"""if True:
        import time
        from remote.agent.gpus.peak_memory import PeakGpuMemory
        watch = PeakGpuMemory([{uuid(0)!r}])
        watch.start()
        while not watch.peak:
            time.sleep(0.01)
        print(watch._process.pid, flush=True)
        time.sleep(60)
    """
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout
    child = int(owner.stdout.readline())
    assert not is_dead(child)
    owner.kill()
    owner.communicate()
    until(lambda: is_dead(child))
