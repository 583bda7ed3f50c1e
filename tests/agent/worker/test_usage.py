"""The peak memory of a tree of processes, and of GPUs, as a fake nvidia-smi that prints all the time tells it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remote.agent.gpus.sample import GpuSample
from remote.agent.processes import PROC, descendants
from remote.agent.worker import usage
from remote.agent.worker.usage import GpuUsage, tree_use
from tests.agent.children import children_of, is_dead
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until

pytestmark = pytest.mark.skipif(not (PROC / "self/statm").exists(), reason="no /proc here")

HOG = "import sys, time; x = bytearray(150_000_000); print('up', flush=True); time.sleep(60)"


def test_a_whole_tree_counts() -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOG!r}])"
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
        assert 150e6 < tree_use(parent.pid).memory < 300e6
        os.killpg(parent.pid, 9)


def test_memory_that_is_shared_counts_once() -> None:
    fork = (
        "import os, time\nx = bytearray(150_000_000)\n"
        "children = [os.fork() for _ in range(1)]\n"
        "if children[0]: os.fork()\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", fork], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        for _ in range(3):
            parent.stdout.readline()
        # Two children, which share 150 MB with each other and with their parent.
        assert tree_use(parent.pid).memory < 150e6
        os.killpg(parent.pid, 9)


WATCHER = f"""
import subprocess, sys, time
from remote.agent.worker import usage
usage.LOOK = 0.05
with usage.ProcessUsage(print) as watched:
    hog = subprocess.Popen([sys.executable, "-c", {HOG!r}], stdout=subprocess.PIPE)
    assert hog.stdout.readline() == b"up\\n"
    while watched.peak < 150e6:
        time.sleep(0.05)
    hog.kill()
    hog.wait()
print(watched.peak)
"""


def test_the_peak_is_kept() -> None:
    """In a process of its own, since the tests' has children of other tests."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHER], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert 150e6 < int(done.stdout.split()[-1]) < 300e6


VFORK = """
import ctypes, ctypes.util, sys, time
x = bytearray(150_000_000)
libc = ctypes.CDLL(ctypes.util.find_library("c"))
CLONE_VM, CLONE_VFORK, SIGCHLD = 0x100, 0x4000, 17
stack = ctypes.create_string_buffer(1 << 20)
sleeps = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(("sleep", libc))
print("up", flush=True)
top = ctypes.c_void_p(ctypes.addressof(stack) + (1 << 20) - 64)
libc.clone(sleeps, top, CLONE_VM | CLONE_VFORK | SIGCHLD, ctypes.c_void_p(60))
"""


def test_a_child_that_still_lives_in_its_parents_memory_does_not_count() -> None:
    """So does every command that a large program starts, for a moment (vfork(2))."""
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {VFORK!r}])"
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
        until(lambda: len(list(descendants(parent.pid))) == 2)
        assert 150e6 < tree_use(parent.pid).memory < 250e6
        os.killpg(parent.pid, 9)


def test_the_time_of_processors_is_that_of_all_even_of_those_that_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}])"
    argv = [sys.executable, "-c", f"{script}; print('over', flush=True); time.sleep(60)"]
    nest = f"import subprocess; subprocess.run({argv!r})"
    with subprocess.Popen(
        [sys.executable, "-c", nest], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"over\n"
        assert 0.2 < tree_use(parent.pid).cpu < 60
        os.killpg(parent.pid, 9)


def test_nobody_has_no_memory() -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    assert tree_use(dead.pid).memory == 0


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "fake gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


def test_the_peak_is_that_of_the_fullest_of_our_cards(fake: FakeGpus) -> None:
    fake.card(3, memory_used=9999)
    children = children_of(os.getpid())
    with GpuUsage([uuid(0), uuid(1)]) as watch:
        until(lambda: watch.peak == 4)
        fake.card(1, memory_used=5000)
        until(lambda: watch.peak == 5000)
        fake.card(1, memory_used=10)
        fake.card(0, memory_used=4000)
        time.sleep(1.2)
    assert watch.peak == 5000
    assert len(fake.calls()) == 1 and children_of(os.getpid()) == children


def test_cards_are_idle_while_none_computes_and_no_memory_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(usage.time, "monotonic", lambda: next(clock))
    watch = GpuUsage(["a", "b"])
    signs = []
    for sample in (
        GpuSample("a", 5, 9, 0),
        GpuSample("b", 5, 9, 0),
        GpuSample("a", 5, 9, 0),
        GpuSample("a", 5, 9, 1),
        GpuSample("b", 5, 9, 0),
        GpuSample("a", 5, 9, 0),
        GpuSample("a", 6, 9, 0),
        GpuSample("b", 5, 9, None),
        GpuSample("a", 6, 9, 0),
    ):
        watch.note(sample)
        signs.append(watch.idle)
    assert signs == [0, 0, 1, 0, 1, 2, 0, 0, 1]
    # Nobody looked since.
    next(clock)
    assert watch.idle == 1


@pytest.mark.parametrize("failure", ["driver", "none", "lost"])
def test_a_failing_nvidia_smi_has_no_peak(fake: FakeGpus, failure: str) -> None:
    fake.change(failure=failure)
    with GpuUsage([uuid(0)]) as watch:
        pass
    assert watch.peak == 0


def test_no_nvidia_smi_has_no_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuUsage([uuid(0)]) as watch:
        pass
    assert watch.peak == 0


def test_a_job_without_gpus_has_none_watched(fake: FakeGpus) -> None:
    with GpuUsage([]) as watch:
        pass
    assert watch.peak == 0 and fake.calls() == []


def test_garbage_has_no_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"printf '\\377\\n{uuid(0)}\\n{uuid(0)}, [N/A]\\n{uuid(0)}, 7, 80, 0, 1, 2, 3\\n'; exec sleep 60"
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    with GpuUsage([uuid(0)]) as watch:
        until(lambda: watch.peak == 7)
    assert watch.peak == 7


def test_nvidia_smi_ends_soon_after_its_owner_is_killed(fake: FakeGpus) -> None:
    code = f"""if True:
        import time
        from remote.agent.worker.usage import GpuUsage
        with GpuUsage([{uuid(0)!r}]) as watch:
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
