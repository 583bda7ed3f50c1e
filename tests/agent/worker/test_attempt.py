"""Why a job's code ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from remote.agent.worker import attempt
from remote.agent.worker.attempt import OOM, OOM_GPU, outcome


def test_all_went_well() -> None:
    # A library may well print of memory that it could do without.
    found = outcome(0, log=b"CUDA out of memory", kills=3)
    assert (found.state, found.code, found.cause) == ("finished", 0, "")


@pytest.mark.parametrize(
    ("code", "shown", "cause"),
    [(3, 3, "exit code 3"), (-11, 139, "SIGSEGV"), (-9, 137, "SIGKILL"), (-77, 205, "signal 77")],
)
def test_codes_and_signals(code: int, shown: int, cause: str) -> None:
    found = outcome(code, log=b"", kills=0)
    assert (found.state, found.code) == ("failed", shown) and cause in found.cause


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0;",
        "RuntimeError: CUDA error: out of memory",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying",
        "tensorflow: RESOURCE_EXHAUSTED: OOM when allocating tensor with shape[32,128]",
        "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_gpu_memory(text: str) -> None:
    assert outcome(1, log=text.encode(), kills=0).reason == OOM_GPU


def test_the_kernels_killer_is_told_only_where_one_of_ours_died() -> None:
    assert outcome(-signal.SIGKILL, log=b"", kills=1).reason == OOM
    assert outcome(137, log=b"", kills=1).reason == OOM
    assert (
        outcome(1, log=b"nbclient.exceptions.DeadKernelError: Kernel died", kills=1).reason == OOM
    )
    assert outcome(1, log=b"ValueError: x", kills=1).reason == "error"
    assert outcome(-signal.SIGKILL, log=b"", kills=0).reason == "signal"


def test_pythons_own_memory_error() -> None:
    assert outcome(1, log=b"Traceback\n  ...\nMemoryError\n", kills=0).reason == OOM
    numpy = b"numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1. TiB"
    assert outcome(1, log=numpy, kills=0).reason in (OOM, "error")
    assert outcome(1, log=b"except MemoryError was handled\n", kills=0).reason == "error"


def test_the_kernels_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vmstat"
    file.write_text("pgfault 1\noom_kill 42\nnr_free 3\n")
    monkeypatch.setattr(attempt, "VMSTAT", file)
    assert attempt.kernel_kills() == 42
    file.unlink()
    assert attempt.kernel_kills() == 0


def test_this_kernel_has_the_counter() -> None:
    if not attempt.VMSTAT.exists():
        pytest.skip("no /proc/vmstat on this system")
    assert attempt.kernel_kills() >= 0 and "oom_kill " in attempt.VMSTAT.read_text()


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"CUDA out of memory" + b"x" * 200_000 + b"end")
    found = attempt.tail(log, 0)
    assert found.endswith(b"end") and len(found) == attempt.TAIL
    assert attempt.tail(log, log.stat().st_size - 3) == b"end"


@pytest.mark.parametrize(
    ("log", "full", "words"),
    [
        (b"", True, "the server's disk is full"),
        (b"OSError: [Errno 28] No space left on device: 'x'", False, "a disk was full"),
        (b"cp: error writing 'x': Disk quota exceeded", False, "a quota used up"),
        (b"sqlite3.OperationalError: database or disk is full", False, "a disk was full"),
    ],
)
def test_a_full_disk_is_named_as_the_cause(log: bytes, full: bool, words: str) -> None:
    ended = outcome(1, log=log, kills=0, full=full)
    assert (
        ended.reason == "disk" and ended.cause.startswith("exit code 1: ") and words in ended.cause
    )
    assert outcome(0, log=log, kills=0, full=full).cause == ""
