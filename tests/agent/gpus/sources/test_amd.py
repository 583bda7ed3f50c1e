"""AMD's GPUs, as fakes of amd-smi and rocm-smi tell of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus import sources
from remote.agent.gpus.queue import JobLease
from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import amd_smi, programs, rocm_smi
from remote.agent.worker.usage import GpuUsage
from remote.errors import JobError
from tests.agent.gpus.jobs import get, job, reason
from tests.fakegpu.amd import FakeAmd
from tests.waiting import until


@pytest.fixture(params=["amd-smi", "amd-smi of ROCm 7", "rocm-smi"])
def amd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> FakeAmd:
    made = FakeAmd(tmp_path / "fake gpus", request.param.split()[0])
    made.change(wrapped=" " in request.param)
    monkeypatch.setenv("PATH", made.path())
    return made


@pytest.fixture
def of_amd_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAmd:
    made = FakeAmd(tmp_path / "fake gpus", "amd-smi")
    monkeypatch.setenv("PATH", made.path())
    return made


def test_all_cards_are_told(amd: FakeAmd) -> None:
    amd.card(1, used=5000, load=37, name="AMD Instinct MI250X")
    found = sources.gpus()
    assert [gpu.uuid for gpu in found] == amd.uuids()
    first, second, *_ = found
    assert (first.index, first.name, first.driver) == (0, "AMD Instinct MI300X", "6.10.5")
    assert (first.memory_total, first.memory_used, first.load) == (196592, 283, 0)
    assert (second.name, second.memory_used, second.load) == ("AMD Instinct MI250X", 5000, 37)
    assert not any(gpu.fault or gpu.processes for gpu in found)
    assert sources.runtime_version() == ""


def test_a_process_is_told_with_its_user(of_amd_smi: FakeAmd) -> None:
    of_amd_smi.use(2, os.getpid(), memory=700)
    (process,) = sources.gpus()[2].processes
    assert (process.pid, process.memory, process.user) == (
        os.getpid(),
        700,
        programs.process(os.getpid(), 0).user,
    )


def test_cards_are_leased_by_what_rocm_calls_them(amd: FakeAmd, folder: Path) -> None:
    amd.use(0, os.getpid(), memory=3000)
    with get(folder, 3) as held:
        assert held.visible == ",".join(amd.uuids()[1:])
        assert reason(folder).startswith("waiting for a GPU: 0 of 4 are free (GPU 0: ")
    entry = JobLease(job(folder, gpus=1))
    with entry.leased(pytest.fail) as lease:
        assert entry.variables(lease) == {"ROCR_VISIBLE_DEVICES": amd.uuids()[1]}


def test_what_is_not_told_is_not_taken_for_nothing(amd: FakeAmd, folder: Path) -> None:
    amd.card(0, load=None, serial="0x0")
    first, *_ = sources.gpus()
    assert first.load is None and "to be chosen by" in first.fault
    assert "GPU 0: it has no " in reason_without(folder)


def reason_without(folder: Path) -> str:
    with get(folder, 3):
        return reason(folder, 4)


def test_one_that_fails_is_no_machine_without_gpus(amd: FakeAmd) -> None:
    amd.change(failure="ERROR: amdgpu not found in modules")
    with pytest.raises(JobError, match="-smi fails: ERROR: amdgpu not found in modules"):
        sources.gpus()


def test_cards_are_watched(amd: FakeAmd, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (amd_smi, rocm_smi):
        monkeypatch.setattr(module, "_WATCH", module._WATCH.replace("sleep 10", "sleep 0.1"))
    uuid = amd.uuids()[3]
    with GpuUsage([uuid]) as watch:
        until(lambda: watch.peak == 283)
        amd.card(3, used=9000, load=50)
        until(lambda: watch.peak == 9000 and watch.idle == 0)
        watch.means()
        until(lambda: watch._samples)
        assert watch.means()[uuid] == GpuSample(uuid, 9000, 196592, 50, 141, None, 42)


@pytest.mark.parametrize(
    ("serial", "uuid"),
    [
        ("0x859BAAFA301986CB", "GPU-859baafa301986cb"),
        ("0x97", "GPU-0000000000000097"),
        ("859baafa301986cb", "GPU-859baafa301986cb"),
        ("0x0", "card-2"),
        ("N/A", "card-2"),
        ("", "card-2"),
    ],
)
def test_rocm_calls_a_card_by_its_unique_number(serial: str, uuid: str) -> None:
    assert programs.rocm_uuid(serial, 2) == uuid


@pytest.mark.parametrize(
    "answer", ["", "[]\n", "{}\n", "{\n}\n", "WARNING: x\n[\n  1,\n null\n]\n"]
)
def test_answers_without_cards_have_none(
    answer: str, of_amd_smi: FakeAmd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "said", lambda *words: answer)
    assert amd_smi.gpus() == [] and list(amd_smi.samples(answer.splitlines(True))) == []
