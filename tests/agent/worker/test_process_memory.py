"""The memory of a tree of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from remote.agent.processes import PROC, descendants
from remote.agent.worker.process_memory import tree_memory
from tests.conftest import ROOT
from tests.waiting import until

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


WATCHER = f"""
import subprocess, sys, time
from remote.agent.worker import process_memory as memory
memory.LOOK = 0.05
with memory.PeakMemory() as watched:
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
    assert 150e6 < int(done.stdout) < 300e6


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
        assert 150e6 < tree_memory(parent.pid) < 250e6
        os.killpg(parent.pid, 9)


def test_nobody_has_no_memory() -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    assert tree_memory(dead.pid) == 0
