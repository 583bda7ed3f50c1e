"""Jobs on several servers, typed: environments made ahead, a sweep over all, one pull, and old jobs gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.pool import sessions
from tests.conftest import SOCKET, ProjectFolder, make_project
from tests.integration.witness import Store
from tests.lab import Lab
from tests.stores import empty_store
from tests.waiting import until


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Iterator[ProjectFolder]:
    """A project with the targets `one` and `two`, which are a group, and `dead`."""
    leases = tmp_path / "leases"
    leases.mkdir()
    leases.chmod(0o1777)
    made = make_project(
        tmp_path / "project",
        REMOTE_SSH_CONFIG=str(lab.config),
        REMOTE_TMUX_SOCKET=SOCKET,
        REMOTE_LEASES=str(leases),
        TARGET_DIR="lab",
    )
    lab.project(made.root)
    made.write("requirements.lock", "")
    empty_store(made.root)
    yield made
    for server in sessions(Project(made.root, made.env), "lab"):
        if server.ssh:
            server.ssh.close()
    lab.end_tmux(SOCKET)


def test_a_sweep_over_several_servers(folder: ProjectFolder) -> None:
    ready = folder.inv("remote-setup").out
    assert sorted(ready.splitlines()) == [
        "one: the environment is ready",
        "two: the environment is ready",
    ]
    gate = folder.root / "gate"
    wait = f"until test -e '{gate}'; do sleep 0.1; done"
    words = ("--json", "--", "sh", "-c", f"echo $0 on $CUDA_VISIBLE_DEVICES; {wait}", "1,2,3,4")
    started = json.loads(folder.inv("remote-sweep", *words).out)
    jobs = started["jobs"]
    # Two cards each: nobody has to wait.
    assert sorted(job["target"] for job in jobs) == ["one", "one", "two", "two"]

    def states() -> list[str]:
        shown = json.loads(folder.inv("remote-ps", started["sweep"], "--json").out)
        return [job["state"] for each in shown["targets"] for job in each["jobs"]]

    until(states, lambda found: found == ["running"] * 4)
    table = folder.inv("remote-ps", "--target", "lab").out
    assert table.count("running") == 4
    one = folder.inv("remote-run", "--", "true", check=False)
    assert "of 2 targets, it goes to" in one.err
    gate.touch()
    until(states, lambda found: found == ["finished"] * 4)
    waited = json.loads(folder.inv("remote-wait", started["sweep"], "--json").out)
    assert waited["sweep"] == started["sweep"] and waited["error"] is None
    pulled = folder.inv("sync-pull").out
    assert "pulled from one:" in pulled and "pulled from two:" in pulled
    for command in ("sync-push", "sync-pull", "remote-gpus", "remote-setup"):
        told = json.loads(folder.inv(command, "--json").out)
        assert sorted(each["target"] for each in told["targets"]) == ["one", "two"], command
        assert all(each["error"] is None for each in told["targets"])
    runs = Store(folder.root / "mlflow.db").runs()
    children = [run for run in runs if run.tags.get("remote.sweep") == started["sweep"]]
    assert {run.status for run in children} == {"FINISHED"} and len(children) == 5
    one = folder.inv("remote-logs", started["sweep"], check=False)
    assert one.code == 2 and f"inv remote-ps {started['sweep']} lists them" in one.err
    removed = folder.inv("remote-rm", started["sweep"]).out
    assert sorted(line[:19] for line in removed.splitlines()) == [
        "one: removed 2 jobs",
        "two: removed 2 jobs",
    ]
    checked = folder.inv("doctor", "--target", "lab", "--json", check=False).out
    assert {"here", "one", "two"} == {check["where"] for check in json.loads(checked)["checks"]}
    gone = json.loads(folder.inv("remote-prune", "--older", "1s", "--json").out)
    assert sum(len(each["jobs"]) for each in gone["targets"]) >= 2 and gone["here"] == []
