"""`inv remote-sweep` from end to end: on a folder of this machine, with a fake nvidia-smi."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.farm import Farm, farm_in
from tests.integration.witness import Store
from tests.stores import empty_store

SCRIPT = "import sys\nprint('args', *sys.argv[1:])\nsys.exit('--fail=yes' in sys.argv)\n"


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with farm_in(tmp_path) as made:
        made.project.write("src/train.py", SCRIPT)
        empty_store(made.project.root)
        yield made


def test_a_sweep_is_a_job_for_each_combination_below_one_run(farm: Farm) -> None:
    words = ("src/train.py", "--gpus", "0", "--json", "--", "--lr", "0.1,0.2", "--size=8,16")
    started = json.loads(farm.project.inv("remote-sweep", *words).out)
    sweep, jobs = started["sweep"], started["jobs"]
    assert [job["values"] for job in jobs] == [
        {"lr": lr, "size": size} for lr in ("0.1", "0.2") for size in ("8", "16")
    ]
    farm.project.inv("remote-wait", sweep)
    assert "args --lr 0.2 --size=8" in farm.log(jobs[2]["id"])
    # All of them by one name.
    listed = farm.project.inv("remote-ps", sweep).out.splitlines()
    assert len(listed) == 5 and "lr=0.2 size=16" in listed[-1]
    farm.project.inv("sync-pull")
    runs = {
        run.tags["mlflow.runName"]: run for run in Store(farm.project.root / "mlflow.db").runs()
    }
    parent = runs[sweep]
    assert parent.status == "FINISHED" and parent.params["lr"] == "0.1, 0.2"
    children = [run for name, run in runs.items() if name != sweep]
    assert {run.tags["mlflow.parentRunId"] for run in children} == {parent.id}
    assert sorted(run.params["size"] for run in children) == ["16", "16", "8", "8"]
    # A job may follow the whole, and the whole may run again.
    after = farm.submit("true", "--after", sweep, "--gpus", "0")
    farm.until(after, "finished")
    again = farm.project.inv("remote-rerun", sweep).out
    assert again.count("\n") == 5 and sweep not in again


def test_a_sweep_is_stopped_as_a_whole(farm: Farm) -> None:
    words = ("--gpus", "0", "--json", "--", "sh", "-c", farm.wait, "a,b,c")
    started = json.loads(farm.project.inv("remote-sweep", *words).out)
    for job in started["jobs"]:
        farm.until(job["id"], "running")
    stopped = farm.project.inv("remote-stop", started["sweep"][-6:]).out
    assert stopped.count(" stopped") == 3
    assert {farm.status(job["id"])["state"] for job in started["jobs"]} == {"stopped"}
