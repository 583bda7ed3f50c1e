"""What nvidia-smi says, read from a fake of it that is a real program on the PATH."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.gpus import sources
from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import nvidia_smi, programs
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuProcess
from tests.agent.children import children_of
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "fake gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "60"])
    yield child
    child.kill()
    child.wait()


def program(folder: Path, text: str) -> str:
    """A PATH with another nvidia-smi, which does what `text` says."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_all_cards_are_read(fake: FakeGpus) -> None:
    fake.card(1, memory_used=700, utilization_gpu=37, name="NVIDIA A100, odd")
    found = nvidia_smi.gpus()
    assert [gpu.index for gpu in found] == [0, 1, 2, 3]
    assert [gpu.uuid for gpu in found] == fake.uuids()
    assert found[1] == Gpu(
        1, uuid(1), "NVIDIA A100, odd", 81920, 700, "550.54.15", 37, (), fault=""
    )
    assert found[1].memory_free == 81220


def test_two_calls_tell_all(fake: FakeGpus) -> None:
    nvidia_smi.gpus()
    assert [call.partition("=")[0] for call in fake.calls()] == [
        "--query-gpu",
        "--query-compute-apps",
    ]


def test_processes_are_told_with_their_user_and_name(
    fake: FakeGpus, process: subprocess.Popen[bytes]
) -> None:
    fake.use(2, process.pid, memory=3000)
    found = nvidia_smi.gpus()
    user = processes.user_name(os.getuid())
    assert found[2].processes == (GpuProcess(process.pid, 3000, user, "sleep"),)
    assert found[2].memory_used == 3004
    assert not found[0].processes


def test_a_process_of_another_namespace_has_no_user(
    fake: FakeGpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.use(0, os.getpid())
    monkeypatch.setattr(programs, "PROC", tmp_path)
    assert nvidia_smi.gpus()[0].processes == (GpuProcess(os.getpid(), 1000, "", ""),)


def test_an_odd_name_of_a_process_is_made_plain(fake: FakeGpus, tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[2J\nb"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(odd), "60"])
    try:
        until(lambda: b"[2J" in Path(f"/proc/{child.pid}/comm").read_bytes())
        fake.use(0, child.pid)
        (found,) = nvidia_smi.gpus()[0].processes
        assert found.name == "a?[2J?b"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("word", ["[N/A]", "[Not Supported]"])
def test_what_a_card_cannot_tell_is_no_fault(fake: FakeGpus, word: str) -> None:
    fake.card(0, utilization_gpu=word, memory_used=word)
    found = nvidia_smi.gpus()[0]
    assert found.load is None and found.memory_used is None and found.fault == ""
    assert found.memory_free is None and found.memory_total == 81920


@pytest.mark.parametrize("pid", ["[Not Supported]", "[N/A]", "", "-1"])
def test_a_row_without_a_pid_is_nobodys_process(
    pid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = "0, GPU-1, 100, 1, 0, 470, Tesla K80"
    cases = f'*gpu=*) echo "{card}";; *apps=*) echo "GPU-1, {pid}, [Not Supported]";;'
    monkeypatch.setenv("PATH", program(tmp_path / "bin", f'case "$1" in {cases} esac'))
    assert nvidia_smi.gpus()[0].processes == ()


@pytest.mark.parametrize("word", ["[GPU is lost]", "[Unknown Error]", "[GPU requires reset]"])
def test_a_broken_card_has_a_fault(fake: FakeGpus, word: str) -> None:
    fake.card(0, memory_used=word)
    assert nvidia_smi.gpus()[0].fault == word.strip("[]")
    assert nvidia_smi.gpus()[1].fault == ""


def test_without_nvidia_smi_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not nvidia_smi.is_present() and sources.current() is None
    assert sources.gpus() == [] and sources.runtime_version() == ""


def test_nvidia_smi_without_a_card(fake: FakeGpus) -> None:
    fake.change(failure="none")
    assert nvidia_smi.gpus() == [] and nvidia_smi.runtime_version() == ""


@pytest.mark.parametrize(
    "failure, words",
    [("driver", "couldn't communicate with the NVIDIA driver"), ("lost", "device handle for GPU")],
)
def test_a_broken_driver_is_told_in_its_words(fake: FakeGpus, failure: str, words: str) -> None:
    fake.change(failure=failure)
    with pytest.raises(JobError, match=words) as error:
        nvidia_smi.gpus()
    assert "\n" not in error.value.message
    assert nvidia_smi.runtime_version() == ""


def test_one_that_fails_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "exit 14"))
    with pytest.raises(JobError, match="ended with 14"):
        nvidia_smi.gpus()


def test_one_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "bin", "")
    (tmp_path / "bin/nvidia-smi").write_bytes(b"\x7fELF")
    monkeypatch.setenv("PATH", path)
    with pytest.raises(JobError, match="can't be started"):
        nvidia_smi.gpus()
    assert nvidia_smi.runtime_version() == ""


def test_warnings_between_the_rows_are_no_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "0, GPU-1, 100, 1, [N/A], 550, Card"
    text = f'case "$1" in *gpu=*) echo "WARNING: infoROM is corrupted"; echo "{row}";; esac'
    monkeypatch.setenv("PATH", program(tmp_path / "bin", text))
    assert [gpu.uuid for gpu in nvidia_smi.gpus()] == ["GPU-1"]


def test_a_uuid_that_is_no_name_for_a_file_is_no_card(fake: FakeGpus) -> None:
    fake.card(0, uuid="../../etc/passwd")
    assert [gpu.index for gpu in nvidia_smi.gpus()] == [1, 2, 3]


def test_nvidia_smi_that_hangs_is_given_up(fake: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.change(delay=600)
    monkeypatch.setattr(programs, "TIMEOUT", 0.3)
    before = children_of(os.getpid())
    with pytest.raises(JobError, match="did not answer within 0 seconds"):
        nvidia_smi.gpus()
    # It is killed: one that had been waited for would have answered.
    until(lambda: children_of(os.getpid()) == before)


def test_an_exception_ends_nvidia_smi(fake: FakeGpus) -> None:
    """The worker is stopped by an exception that its signal handler raises."""
    fake.change(delay=60)

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    children = children_of(os.getpid())
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            nvidia_smi.gpus()
    finally:
        signal.signal(signal.SIGALRM, before)
    until(lambda: children_of(os.getpid()) == children)


def test_the_version_of_cuda(fake: FakeGpus) -> None:
    assert nvidia_smi.runtime_version() == "12.4"
    fake.change(cuda="N/A")
    assert nvidia_smi.runtime_version() == ""


def test_the_version_of_cuda_as_new_drivers_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "| NVIDIA-SMI 595.10  KMD Version: 595.10  CUDA UMD Version: 13.2 |"
    monkeypatch.setenv("PATH", program(tmp_path / "bin", f'echo "{line}"'))
    assert nvidia_smi.runtime_version() == "13.2"


@pytest.mark.parametrize(
    "line, use",
    [
        (f"{uuid(0)}, 512, 81920, 7, 68.12, 400.00, 34\n", (512, 81920, 7, 68.12, 400, 34)),
        (f"{uuid(0)}, [N/A], 1, [N/A], nan, [Not Supported], 3\n", (None, 1, None, None, None, 3)),
        (f"{uuid(0)}, 512\n", None),
        ("WARNING: infoROM is corrupted, at gpu 0\n", None),
        ("", None),
    ],
)
def test_a_line_of_what_a_card_does(line: str, use: object) -> None:
    told = [GpuSample(uuid(0), *use)] if isinstance(use, tuple) else []
    assert list(nvidia_smi.samples([line])) == told
