"""MIG devices are cards of their own, as a fake nvidia-smi tells of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent.gpus.sources import mig, nvidia_smi, programs
from remote.agent.worker.usage import GpuUsage
from remote.errors import JobError
from tests.agent.gpus.jobs import get, reason
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until


def test_a_divided_card_is_its_devices(fake: FakeGpus) -> None:
    first, second = fake.divide(1, "3g.20gb", "1c.3g.20gb", memory=20096)
    fake.use(1, os.getpid(), memory=700, mig=1)
    fake.use(0, os.getpid(), memory=500)
    whole, one, other, *_ = found = nvidia_smi.gpus()
    assert [gpu.index for gpu in found] == [0, 1, 1, 2, 3]
    assert (whole.uuid, len(whole.processes)) == (uuid(0), 1)
    assert (one.uuid, one.name) == (first, "NVIDIA A100-SXM4-80GB MIG 3g.20gb (1:0)")
    assert (one.memory_total, one.memory_used, one.load, one.processes) == (20096, 3, None, ())
    assert (other.uuid, other.memory_used) == (second, 703) and "MIG 1c.3g.20gb" in other.name
    assert [process.pid for process in other.processes] == [os.getpid()]
    assert not any(gpu.fault for gpu in found)


def test_cards_that_tell_their_load_are_asked_no_more(fake: FakeGpus) -> None:
    nvidia_smi.gpus()
    assert not [call for call in fake.calls() if "-x" in call or "-L" in call]


def test_a_card_on_which_mig_is_on_without_a_device_is_not_leased(
    fake: FakeGpus, folder: Path
) -> None:
    fake.divide(0)
    with get(folder) as held:
        assert held.visible == uuid(1)
    assert "MIG is on, and there is no device" in reason(folder, 4)


def test_devices_are_leased_by_their_uuids(fake: FakeGpus, folder: Path) -> None:
    fake.state["gpus"] = fake.state["gpus"][:1]
    first, second = fake.divide(0, "1g.10gb", "1g.10gb")
    with get(folder) as held, get(folder) as other:
        assert (held.visible, other.visible) == (first, second)
        assert reason(folder).startswith("waiting for a GPU: 0 of 2 are free (GPU 0: ")
    fake.use(0, os.getpid(), mig=0)
    with get(folder) as held:
        assert held.visible == second


def test_their_memory_is_watched(fake: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_smi, "MIG_LOOK", 1)
    _, second = fake.divide(2, "1g.10gb", "1g.10gb")
    with GpuUsage([second]) as watch:
        until(lambda: watch.peak == 3)
        fake.use(2, os.getpid(), memory=400, mig=1)
        until(lambda: watch.peak == 403)
    # Whose load isn't told is never known to be idle.
    mean = watch.means()[second]
    assert watch.idle == 0 and (mean.memory_total, mean.load, mean.power) == (4864, None, None)


LISTS = {
    "": {},
    "GPU 0: NVIDIA A40 (UUID: GPU-0a)\n": {},
    # Before driver 470.
    "GPU 0: A100 (UUID: GPU-0a)\n  MIG 1g.5gb Device 0: (UUID: MIG-GPU-0a/1/0)\n": {},
    "GPU 0: A100 (UUID: GPU-0a)\n  MIG 1g.5gb      Device  0: (UUID: MIG-c6-42)\n": {
        ("GPU-0a", 0): mig.Listed("MIG-c6-42", "1g.5gb")
    },
}


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_devices(text: str) -> None:
    assert mig.listed(text) == LISTS[text]


def test_what_is_no_xml_is_told(fake: FakeGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.divide(0, "1g.10gb")
    monkeypatch.setattr(programs, "said", lambda *options: f"<nvidia_smi_log>{mig.ENABLED}")
    with pytest.raises(JobError, match="nvidia-smi -q -x can't be read"):
        nvidia_smi._mig_devices()
