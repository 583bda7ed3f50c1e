"""The memory of a tree of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from remote.host import memory
from remote.host.memory import PeakMemory, tree_memory
from remote.host.process import PROC

pytestmark = pytest.mark.skipif(not (PROC / "self/statm").exists(), reason="no /proc here")

HOG = "import sys, time; x = bytearray(150_000_000); print('up', flush=True); time.sleep(60)"


def test_a_whole_tree_counts() -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOG!r}])"
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
        assert 150e6 < tree_memory(parent.pid) < 300e6
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
        assert tree_memory(parent.pid) < 150e6
        os.killpg(parent.pid, 9)


def test_the_peak_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK", 0.05)
    # The tests' own process counts too, and has grown with the tests before this one.
    before = tree_memory(os.getpid())
    with PeakMemory() as watched:
        with subprocess.Popen([sys.executable, "-c", HOG], stdout=subprocess.PIPE) as hog:
            assert hog.stdout is not None and hog.stdout.readline() == b"up\n"
            deadline = time.monotonic() + 20
            while watched.peak < before + 150e6 and time.monotonic() < deadline:
                time.sleep(0.05)
            hog.kill()
    assert before + 150e6 < watched.peak < before + 400e6


def test_nobody_has_no_memory() -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    assert tree_memory(dead.pid) == 0
