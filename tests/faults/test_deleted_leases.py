"""Everything in the folder of leases is deleted while jobs hold GPUs and wait for some."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.farm import Farm, farm_in
from tests.waiting import until


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with farm_in(tmp_path, gpus=1) as made:
        yield made


@contextmanager
def cleaned(folder: Path) -> Iterator[None]:
    """Delete all files again and again, as `rm -rf /tmp/*` does once."""
    done = threading.Event()

    def clean() -> None:
        while not done.wait(0.1):
            for path in folder.iterdir():
                path.unlink(missing_ok=True)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        yield
    finally:
        done.set()
        cleaner.join()


def waits(farm: Farm, job: str) -> str:
    """What a job says that it waits for."""
    return str(until(lambda: farm.status(job).get("waiting")))


def test_no_gpu_is_leased_twice_and_its_holder_is_told_as_before(farm: Farm) -> None:
    holder = farm.submit(farm.wait)
    farm.until(holder, "running")
    with cleaned(farm.leases):
        waiter = farm.submit("true")
        assert "0 of 1 are free" in waits(farm, waiter)
    last = farm.submit("true")
    until(lambda: waits(farm, last), lambda said: "1 job is before" in said)
    until(lambda: farm.project.inv("remote-gpus").out, lambda said: holder in said)
    # What a version of the toolkit sees that knows the locks on files alone.
    (lease,) = farm.leases.glob("*.lease")
    with open(lease) as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    farm.open_gate()
    assert farm.until(waiter, "finished")["running"] >= farm.status(holder)["ended"] - 0.5


def test_a_holder_of_an_earlier_version_is_respected(farm: Farm) -> None:
    lease = farm.leases / f"remote-gpu-{farm.gpus.uuids()[0]}.lease"
    with open(lease, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiter = farm.submit("true")
        assert "0 of 1 are free" in waits(farm, waiter)
    farm.until(waiter, "finished")
