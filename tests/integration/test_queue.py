"""Many jobs on few GPUs: the queue, leases, and what frees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ProjectFolder
from tests.integration.farm import Farm, farm_in

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with farm_in(tmp_path) as made:
        yield made


def test_a_job_gets_a_gpu_of_its_own_and_waits_where_none_is_free(farm: Farm) -> None:
    first = farm.submit(f"echo on $CUDA_VISIBLE_DEVICES; {farm.wait}", "--gpus", "3")
    second = farm.submit("echo on $CUDA_VISIBLE_DEVICES", "--gpus", "2")
    third = farm.submit("echo on [$CUDA_VISIBLE_DEVICES]", "--gpus", "0")
    listed = farm.project.inv("remote-ps").out
    assert "waiting for 2 GPUs: 1 of 4 is free" in listed and first in listed
    # A job for no GPU stands in no queue.
    assert "gpus" not in farm.until(third, "finished")
    assert "on []" in farm.log(third)
    farm.open_gate()
    farm.project.inv("remote-wait", second)
    mine, theirs = ({gpu["uuid"] for gpu in farm.status(job)["gpus"]} for job in (first, second))
    assert (len(mine), len(theirs)) == (3, 2)
    assert ",".join(gpu["uuid"] for gpu in farm.status(first)["gpus"]) in farm.log(first)
    assert farm.status(second)["running"] >= farm.status(first)["ended"] - 0.5


def test_a_killed_workers_gpus_go_to_who_waits(farm: Farm) -> None:
    first = farm.submit("sleep 600", "--gpus", "4")
    second = farm.submit("true", "--gpus", "4")
    assert farm.status(second)["state"] == "queued"
    os.kill(farm.until(first, "running")["worker"]["pid"], signal.SIGKILL)
    # Nobody has asked for the jobs meanwhile: the second one sees for itself that they are free.
    farm.until(second, "running", "finished")
    listed = json.loads(farm.project.inv("remote-ps", "--json", first).out)["jobs"][0]
    assert listed["state"] == "lost" and listed["cause"].startswith("its worker is gone")


def test_too_much_is_refused_at_once(farm: Farm) -> None:
    refused = farm.project.inv("remote-run", "--gpus", "5", "--", "true", check=False)
    assert refused.code == 2 and "5 GPUs" in refused.err and "Traceback" not in refused.err
    refused = farm.project.inv("remote-run", "--gpus-memory", "200G", "--", "true", check=False)
    assert refused.code == 2 and "200" in refused.err
    assert "-true-" not in farm.project.inv("remote-ps").out


def test_a_queued_job_can_be_stopped(farm: Farm) -> None:
    first = farm.submit("sleep 600", "--gpus", "4")
    second = farm.submit("true")
    farm.project.inv("remote-stop", second)
    assert farm.status(second)["state"] == "stopped"
    third = farm.submit("true")
    farm.project.inv("remote-stop", first)
    assert farm.until(third, "finished")


def test_gpus_are_listed_with_who_holds_them(farm: Farm) -> None:
    job = farm.submit("sleep 600", "--gpus", "2", "--name", "big")
    farm.until(job, "running")
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        farm.gpus.use(2, stranger.pid, memory=2000)
        waiting = farm.submit("true", "--gpus", "2", "--name", "late")
        said = farm.project.inv("remote-gpus").out
        lines = said.splitlines()
        assert [line.split()[0] for line in lines[1:5]] == ["0", "1", "2", "3"]
        assert job in lines[1] and job in lines[2] and "sleep" in lines[3]
        assert waiting in lines[5]
        found = json.loads(farm.project.inv("remote-gpus", "--json").out)
        assert found["gpus"][0]["holder"]["job"] == job
        assert found["gpus"][3]["holder"] is None
    finally:
        stranger.kill()
        stranger.wait()
    farm.project.inv("remote-stop", job)
    assert farm.until(waiting, "finished")


def test_eight_jobs_of_four_clients(farm: Farm, tmp_path: Path) -> None:
    """From `inv` to the GPU; for forty, the queue alone is in agent/gpus/test_many_jobs.py."""
    targets = [farm.root.parent / f"proj-{number}" for number in range(4)]
    clients = [farm.client(tmp_path / target.name, target) for target in targets]
    for client in clients:
        client.inv("remote-setup")
    sizes = [(1, 4), (3, 2), (4, 1), (2, 3)]

    def submit_both(client: ProjectFolder) -> list[str]:
        return [
            farm.submit("sleep 0.3", "--gpus", str(size), "--name", f"n{size}", client=client)
            for size in sizes[clients.index(client)]
        ]

    with ThreadPoolExecutor(4) as pool:
        jobs = [job for found in pool.map(submit_both, clients) for job in found]
    assert len(set(jobs)) == 8
    ended = [farm.until(job, "finished", "failed", "lost") for job in jobs]
    assert {status["state"] for status in ended} == {"finished"}
    # No GPU was ever held twice.
    held = sorted(
        (status["running"], status["ended"], gpu["uuid"])
        for status in ended
        for gpu in status["gpus"]
    )
    for uuid in farm.gpus.uuids():
        mine = [(begin, end) for begin, end, each in held if each == uuid]
        assert mine and all(end <= begin for (_, end), (begin, _) in zip(mine, mine[1:]))
    # Who came first was served first.
    asked = {job: json.loads(farm.file(job, "job.json").read_text())["submitted"] for job in jobs}
    order = [asked[job] for job, _ in sorted(zip(jobs, ended), key=lambda p: p[1]["running"])]
    # Jobs that begin in the same moment may write that down in any order.
    late = sum(second < first - 2 for first, second in zip(order, order[1:]))
    assert late == 0, order


def test_what_was_submitted_is_what_runs(farm: Farm) -> None:
    farm.project.write("src/version.txt", "one\n")
    blocker = farm.submit("sleep 600", "--gpus", "4")
    jobs = [farm.submit("cat src/version.txt") for _ in range(5)]
    farm.project.write("src/version.txt", "two\n")
    farm.project.inv("sync-push")
    assert (farm.root / "src/version.txt").read_text() == "two\n"
    farm.project.inv("remote-stop", blocker)
    for job in jobs:
        farm.until(job, "finished")
        assert farm.log(job).splitlines()[-2] == "one"
