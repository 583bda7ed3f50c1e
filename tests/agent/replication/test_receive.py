"""Runs that a target is given, on the target's side: the agent's verb `take`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.agent.replication import receive
from remote.errors import ProtocolError, StoreError
from remote.job.messages.records import ArtifactFolder, TakeAnswer, TakeRequest
from remote.operations.tracking.select_runs import Selection, gather, pack, resolve
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire
from remote.tracking import merge, schema
from remote.tracking.merge import experiment_map, ownership
from tests.agent.replication.conftest import ID, KEY
from tests.rpc.calls import installed_python

NAME = ID + "b" * 16


def send(world, *runs: str, name: str = NAME, **options: Any) -> TakeRequest:
    """Put the deltas where rsync puts them; the request that goes with them."""
    asked = Selection(runs, **options)
    named = resolve(world.here.store, asked)
    selected = gather(world.here.store, named, asked, world.here.root)
    folder = world.far.root / f".remote/incoming-{name}"
    folder.mkdir()
    pack(world.here.store, folder, selected, world.here.root)
    for kind in filter(ownership.has_owner, selected.ids):
        ownership.remember(world.base(), kind, selected.ids[kind])
    known = merge.pull_state(world.base(), store=world.here.store).get("signatures", {})
    links = experiment_map.for_the_other_side(world.base(), world.here.store)
    return TakeRequest(
        key=KEY,
        name=name,
        source="me@laptop",
        seen={
            kind: {
                identity: known.get(kind, {}).get(identity, "") for identity in selected.ids[kind]
            }
            for kind in (schema.RUN, schema.MODEL, schema.TRACE)
        },
        known=tuple(links),
        registry=asked.registry and (folder / receive.REGISTRY).exists(),
    )


def push(world, *runs: str, **options: Any) -> TakeAnswer:
    answer = receive.take(send(world, *runs, **options))
    assert world.far.broken_links() == []
    assert not list(world.far.root.glob(".remote/incoming-*"))
    experiment_map.learn(world.base(), world.here.store, answer.links, source="far")
    return answer


def test_a_run_arrives_whole_and_alone(world, target):
    target.experiment("something else with the number 1")
    other = world.here.run(world.here.experiment("other"))
    run = world.here.run(world.here.experiment("mnist"), steps=5)
    answer = push(world, run)
    there, here = target.client.get_run(run), world.here.client.get_run(run)
    assert there.data.to_dictionary() == here.data.to_dictionary()
    assert there.info.start_time == 1_000_000 and there.info.status == "FINISHED"
    assert len(target.client.get_metric_history(run, "loss")) == 5
    folder = f"mlruns/{there.info.experiment_id}/{run}/artifacts"
    assert there.info.artifact_uri == str(target.root / folder)
    assert answer.artifacts == (
        ArtifactFolder(f"mlruns/{here.info.experiment_id}/{run}/artifacts", folder),
    )
    assert answer.plain and answer.new_runs == 1
    names = [name for (name,) in target.sql("SELECT name FROM experiments ORDER BY experiment_id")]
    assert names == ["Default", "something else with the number 1", "mnist"]
    assert target.sql("SELECT 1 FROM runs WHERE run_uuid = ?", other) == []
    assert target.one("SELECT count(*) FROM metrics WHERE run_uuid = ?", other) == 0


def test_the_pull_that_follows_brings_nothing(world, target):
    world.pull()
    run = world.here.run(world.here.experiment("mnist"))
    push(world, run)
    before = world.here.dump()
    summary = world.pull()
    assert world.here.dump() == before
    assert (summary.new_runs, summary.grown_runs, summary.new_experiments) == (0, 0, 0)
    assert summary.conflicts == () and summary.metric_rows == 0


def test_twice_changes_nothing(world, target):
    run = world.here.run(world.here.experiment("mnist"))
    push(world, run)
    world.pull()
    before, bytes_before = target.dump(), target.store.read_bytes()
    answer = push(world, run)
    assert target.dump() == before and target.store.read_bytes() == bytes_before
    assert answer.new_runs == 0


def test_what_was_changed_here_is_changed_there(world, target):
    run = target.run(target.experiment("mnist"))
    target.client.set_tag(run, "gone", "soon")
    world.pull()
    world.here.client.set_tag(run, "colour", "blue")
    world.here.client.set_tag(run, "mlflow.note.content", "the best")
    world.here.client.delete_tag(run, "gone")
    world.here.client.update_run(run, name="renamed")
    world.here.log(run, range(3, 6))
    push(world, run)
    there = target.client.get_run(run)
    assert there.info.run_name == "renamed" and there.data.tags["colour"] == "blue"
    assert there.data.tags["mlflow.note.content"] == "the best" and "gone" not in there.data.tags
    assert len(target.client.get_metric_history(run, "loss")) == 6
    summary = world.pull()
    assert summary.conflicts == () and summary.grown_runs == 0


def test_what_changed_there_meanwhile_is_not_touched(world, target):
    run = target.run(target.experiment("mnist"))
    world.pull()
    request = send(world, run)
    target.client.set_tag(run, "colour", "green")
    before = target.dump()
    assert receive.take(request) == TakeAnswer(changed=(run,))
    assert target.dump() == before


def test_a_run_that_is_there_and_was_never_seen_is_not_touched(world, target):
    run = world.here.run(world.here.experiment("mnist"))
    push(world, run)
    target.client.set_tag(run, "colour", "green")
    assert receive.take(send(world, run)) == TakeAnswer(changed=(run,))


def test_a_run_that_is_gone_there_comes_back_without_the_remark(world, target):
    run = target.run(target.experiment("mnist"))
    world.pull()
    target.hard_delete(run)
    world.pull()
    assert "remote.deleted_on" in world.here.client.get_run(run).data.tags
    push(world, run)
    assert "remote.deleted_on" not in target.client.get_run(run).data.tags
    summary = world.pull()
    assert "remote.deleted_on" not in world.here.client.get_run(run).data.tags
    assert summary.conflicts == () and summary.new_runs == 0


def test_an_experiment_keeps_its_name_on_each_side(world, target):
    target.run(target.experiment("mnist"))
    world.pull()
    here = world.here.client.get_experiment_by_name("mnist")
    world.here.client.rename_experiment(here.experiment_id, "renamed here")
    run = world.here.run(here.experiment_id)
    push(world, run)
    home = target.client.get_run(run).info.experiment_id
    assert target.client.get_experiment(home).name == "mnist"
    assert world.pull().conflicts == ()
    assert world.here.client.get_experiment(here.experiment_id).name == "renamed here"


def test_an_experiment_that_was_deleted_there_comes_back(world, target):
    there = target.experiment("mnist")
    target.run(there)
    world.pull()
    target.client.delete_experiment(there)
    world.pull()
    here = world.here.one("SELECT experiment_id FROM experiments WHERE name = 'mnist'")
    world.here.client.restore_experiment(str(here))
    run = world.here.run(str(here))
    push(world, run)
    assert target.client.get_experiment(there).lifecycle_stage == "active"
    assert target.client.get_run(run).info.experiment_id == there
    assert world.pull().conflicts == ()


def test_a_name_that_a_deleted_experiment_has_there(world, target):
    """MLflow keeps the name of a deleted experiment taken; no second one may appear here."""
    target.client.delete_experiment(target.experiment("mnist"))
    run = world.here.run(world.here.experiment("mnist"))
    push(world, run)
    home = target.client.get_run(run).info.experiment_id
    assert target.client.get_experiment(home).name == "mnist (me@laptop)"
    before = world.here.sql("SELECT name FROM experiments WHERE lifecycle_stage = 'active'")
    summary = world.pull()
    after = world.here.sql("SELECT name FROM experiments WHERE lifecycle_stage = 'active'")
    assert summary.conflicts == () and after == before


def test_children_models_and_traces_go_along(world, target):
    client = world.here.client
    experiment = world.here.experiment("mnist")
    parent = world.here.run(experiment)
    child = world.here.run(experiment)
    client.set_tag(child, "mlflow.parentRunId", parent)
    grandchild = world.here.run(world.here.experiment("elsewhere"))
    client.set_tag(grandchild, "mlflow.parentRunId", child)
    stranger = world.here.run(experiment)
    made = client.create_logged_model(experiment, name="m", source_run_id=child).model_id
    taken = client.create_logged_model(experiment, name="n", source_run_id=stranger).model_id
    client.create_logged_model(experiment, name="o", source_run_id=stranger)
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    client.log_inputs(parent, models=[LoggedModelInput(taken)])
    client.log_outputs(child, [LoggedModelOutput(made, step=1)])
    answer = push(world, parent)
    ids = {run for (run,) in target.sql("SELECT run_uuid FROM runs")}
    assert ids == {parent, child, grandchild}
    assert {model for (model,) in target.sql("SELECT model_id FROM logged_models")} == {made, taken}
    assert target.client.get_run(child).outputs.model_outputs[0].model_id == made
    assert target.client.get_run(parent).inputs.model_inputs[0].model_id == taken
    assert answer.new_runs == 3 and answer.refused == ()
    assert len(answer.artifacts) == 5


def test_traces_go_where_they_are_asked_for(world, target):
    run = world.here.run(world.here.experiment("mnist"))
    trace = log_trace(world.here, run)
    push(world, run)
    assert target.sql("SELECT 1 FROM trace_info") == []
    world.pull()
    push(world, run, traces=True)
    assert target.sql("SELECT request_id FROM trace_info") == [(trace,)]
    assert target.one("SELECT count(*) FROM spans") == 1
    assert world.pull().conflicts == ()


def log_trace(project, run: str) -> str:
    """A trace that a run has made."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{project.store}")
    experiment = project.client.get_run(run).info.experiment_id
    root = project.client.start_trace("think", inputs={"x": 1}, experiment_id=experiment)
    project.client.end_trace(root.trace_id, outputs={"y": 2})
    mlflow.flush_trace_async_logging()
    mlflow.set_tracking_uri(before)
    row = ("mlflow.sourceRun", run, root.trace_id)
    project.sql(
        "INSERT INTO trace_request_metadata (key, value, request_id) VALUES (?, ?, ?)", *row
    )
    return str(root.trace_id)


def register(project, name: str, run: str, **changes: str) -> None:
    client = project.client
    client.create_registered_model(name, description=changes.get("description"))
    made = client.create_model_version(
        name, f"{project.client.get_run(run).info.artifact_uri}/m", run
    )
    client.set_registered_model_alias(name, "champion", made.version)
    client.set_model_version_tag(name, made.version, "whose", changes.get("whose", ""))


def test_versions_of_registered_models_go_where_they_are_asked_for(world, target):
    experiment = world.here.experiment("mnist")
    run, other = world.here.run(experiment), world.here.run(experiment)
    register(world.here, "net", run)
    uri = world.here.client.get_run(other).info.artifact_uri
    world.here.client.create_model_version("net", f"{uri}/m", other)
    register(world.here, "unrelated", other)
    push(world, run)
    assert target.sql("SELECT 1 FROM registered_models") == []
    world.pull()
    answer = push(world, run, registry=True)
    assert target.sql("SELECT name, version FROM model_versions") == [("net", 1)]
    version = target.client.get_model_version_by_alias("net", "champion")
    there = target.client.get_run(run).info.artifact_uri
    assert version.source == f"{there}/m" and answer.refused == ()
    assert target.sql("SELECT name FROM registered_models") == [("net",)]


def test_registered_models_that_are_there_are_never_overwritten(world, target):
    theirs = target.run(target.experiment("theirs"))
    register(target, "net", theirs, description="made there", whose="theirs")
    ours = world.here.run(world.here.experiment("mnist"))
    register(world.here, "net", ours, description="made here", whose="ours")
    world.pull()
    tables = (
        "model_versions",
        "registered_model_aliases",
        "model_version_tags",
        "registered_models",
    )
    before = [target.sql(f"SELECT * FROM {table}") for table in tables]
    answer = push(world, ours, registry=True)
    assert [target.sql(f"SELECT * FROM {table}") for table in tables] == before
    (refusal,) = answer.refused
    assert refusal.id == "net/1" and "another local model has this name" in refusal.reason
    assert target.client.get_run(ours).data.tags["colour"] == "red"


def test_a_store_of_an_older_mlflow_says_what_it_can_not_take(world, target):
    for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags"):
        target.sql(f"DROP TABLE {table}")
    target.sql("DROP TABLE logged_models")
    run = world.here.run(world.here.experiment("mnist"))
    world.here.client.create_logged_model("1", name="m", source_run_id=run)
    answer = push(world, run)
    assert "logged_models" in answer.left_out
    assert target.client.get_run(run).info.run_name == "sunny"


def test_hostile_values_are_data(world, target):
    name = 'it\'s; DROP TABLE runs; -- "q" $(touch pwned) `x`\n日本'
    run = world.here.run(world.here.experiment(name))
    world.here.sql("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", "a'b\"c", name, run)
    world.here.client.update_run(run, name=name)
    push(world, run)
    there = target.client.get_run(run)
    assert there.info.run_name == name and there.data.tags["a'b\"c"] == name
    assert target.client.get_experiment_by_name(name) is not None


@pytest.mark.parametrize("name", ["", "*", "../x", "a" * 32, NAME + "/..", "A" * 48])
def test_only_a_plain_name_is_a_folder(name):
    with pytest.raises(ProtocolError, match="request.name"):
        TakeRequest.from_json({"key": KEY, "name": name, "source": "me", "seen": {}}, "request")


def test_what_an_earlier_push_left_is_cleared_up(world, target):
    run = world.here.run(world.here.experiment("mnist"))
    send(world, run, name=ID + "c" * 16)
    push(world, run)
    assert not list(target.root.glob(".remote/incoming-*"))


def test_without_a_store_the_next_step_is_told(world, target, monkeypatch):
    run = world.here.run(world.here.experiment("mnist"))
    target.store.unlink()
    bare = target.root / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "$@"\n')
    bare.chmod(0o755)
    with monkeypatch.context() as server, pytest.raises(StoreError) as caught:
        # As a server's own Python, which has no MLflow.
        server.setattr(sys, "executable", str(bare))
        receive.take(send(world, run))
    assert "first job makes one" in caught.value.hint
    (target.root / "requirements.lock").write_text("")
    with pytest.raises(StoreError, match="no MLflow store yet") as caught:
        receive.take(send(world, run))
    assert "inv remote-setup" in caught.value.hint
    from remote.agent import environments

    env = environments.of(target.root, target.root).folder
    (env / "bin").mkdir(parents=True)
    (env / ".complete").touch()
    without = env / "bin/python"
    without.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "$@"\n')
    without.chmod(0o755)
    with pytest.raises(StoreError, match="mlflow is not in the lock file"):
        receive.take(send(world, run))


def test_an_error_in_between_leaves_nothing_behind(world, target):
    run = world.here.run(world.here.experiment("mnist"))
    request = send(world, run)
    (target.root / f".remote/incoming-{NAME}" / receive.RUNS).write_bytes(b"not a database")
    with pytest.raises(StoreError):
        receive.take(request)
    assert not list(target.root.glob(".remote/incoming-*"))
    assert target.sql("SELECT 1 FROM runs") == []


KILLED = """
import json, os, sys
from remote.agent.replication import receive as received
from remote.tracking.merge import apply
whole, count = apply._merge_table, [0]
def broken(session, table):
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        os.kill(os.getpid(), 9)
    whole(session, table)
apply._merge_table, apply.BATCH = broken, 2
received.take(received.TakeRequest.from_json(json.load(sys.stdin), "request"))
"""


def test_killed_anywhere_the_next_push_does_the_rest(world, target):
    experiment = world.here.experiment("mnist")
    runs = [world.here.run(experiment) for _ in range(5)]
    root = Path(merge.__file__).parents[2]
    killed = 0
    for number in (1, 4, 6, 9, 12):
        request = send(world, *runs, name=f"{ID}{number:016x}")
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(number)],
            input=json.dumps(request.to_json()).encode(),
            cwd=root,
            capture_output=True,
        )
        assert done.returncode in (0, -9), done.stderr
        killed += done.returncode == -9
        world.pull()
    assert killed >= 3
    push(world, *runs)
    for run in runs:
        there, here = target.client.get_run(run), world.here.client.get_run(run)
        assert there.data.to_dictionary() == here.data.to_dictionary()
        assert len(target.client.get_metric_history(run, "loss")) == 3
    summary = world.pull()
    assert summary.conflicts == () and summary.new_runs == 0


# The agent that carries it


class OldWire(LocalWire):
    def agent(self, name: str, *words: str) -> list[str]:
        return [str(installed_python("3.8")), "-W", "error", *super().agent(name, *words)[1:]]


@pytest.mark.parametrize("wire", [LocalWire, OldWire])
def test_the_agent_takes_runs_under_any_python(world, target, wire):
    run = world.here.run(world.here.experiment("mnist"), steps=4)
    answer = Agent(wire()).call(send(world, run))
    assert answer.new_runs == 1
    assert len(target.client.get_metric_history(run, "loss")) == 4
