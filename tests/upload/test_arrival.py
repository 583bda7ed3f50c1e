"""What is in a store comes to the server, once."""

from __future__ import annotations

import math
from typing import Any

import pytest

from remote import upload
from remote.upload.server import Server
from tests.upload.conftest import Far


def test_a_run_comes_with_all_that_belongs_to_it(far: Far) -> None:
    client = far.project.client
    run = far.project.run(far.experiment, steps=2500)
    client.set_tag(run, "mlflow.user", "ann")
    client.update_run(run, name="rainy")

    summary = far.push()

    assert (summary.new_runs, summary.new_experiments, summary.metric_rows) == (1, 1, 2500)
    assert summary.run_ids == (run,) and summary.conflicts == () and summary.refused == ()
    (there,) = far.runs()
    assert there.info.run_id != run
    assert there.data.tags["remote.source_run"] == run
    assert there.data.tags["colour"] == "red" and there.data.tags["mlflow.user"] == "ann"
    assert there.data.params == {"lr": "0.1"}
    assert (there.info.status, there.info.start_time) == ("FINISHED", 1_000_000)
    assert (there.info.end_time, there.info.run_name) == (2_000_000, "rainy")
    assert there.data.tags["mlflow.runName"] == "rainy"
    assert there.data.metrics == {"loss": 1 / 2500}
    assert history(far.there, there.info.run_id) == history(client, run)


def test_a_second_upload_writes_nothing(
    far: Far, writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    far.project.run(far.experiment)
    far.project.run(far.experiment, end=None)
    far.push()
    writes.clear()
    read: list[str] = []
    get = Server.get

    def spy(self: Server, path: str, **query: str) -> Any:
        read.append(path)
        return get(self, path, **query)

    monkeypatch.setattr(Server, "get", spy)
    summary = far.push()

    assert writes == [] and "runs/get" not in read
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 0, 0)
    assert len(far.runs()) == 2


def test_a_run_grows(far: Far) -> None:
    run = far.project.run(far.experiment, end=None)
    far.push()
    (before,) = far.runs()
    assert before.info.status == "RUNNING" and before.info.end_time is None

    far.project.log(run, range(3, 10))
    far.project.client.log_param(run, "depth", "3")
    far.project.client.set_terminated(run, "FAILED", end_time=3_000_000)
    summary = far.push()

    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 1, 7)
    after = far.there.get_run(before.info.run_id)
    assert (after.info.status, after.info.end_time) == ("FAILED", 3_000_000)
    assert after.data.params == {"lr": "0.1", "depth": "3"}
    assert history(far.there, before.info.run_id) == history(far.project.client, run)


def test_values_that_are_no_numbers(far: Far) -> None:
    client = far.project.client
    run = far.project.run(far.experiment, steps=0)
    values = (math.nan, math.inf, -math.inf, 0.1, 5e-324)
    for step, value in enumerate(values):
        client.log_metric(run, "odd", value, timestamp=7, step=step)

    far.push()

    (there,) = far.runs()
    found = far.there.get_metric_history(there.info.run_id, "odd")
    here = client.get_metric_history(run, "odd")
    assert [repr(each.value) for each in found] == [repr(each.value) for each in here]
    assert math.isnan(found[0].value) and found[4].value == 5e-324


def test_a_child_names_its_parent_by_the_new_id(far: Far) -> None:
    child = far.project.run(far.experiment)
    parent = far.project.run(far.experiment)
    far.project.client.set_tag(child, "mlflow.parentRunId", parent)

    far.push()

    new_parent = far.run_of(parent).info.run_id
    assert far.run_of(child).data.tags["mlflow.parentRunId"] == new_parent


def test_many_tags_and_long_values_go_in_parts(far: Far) -> None:
    client = far.project.client
    run = far.project.run(far.experiment)
    for number in range(130):
        client.set_tag(run, f"t{number}", f"{number}" + "x" * 7000)
        client.log_param(run, f"p{number}", "y" * 5000)

    far.push()

    there = far.run_of(run)
    here = client.get_run(run)
    assert there.data.params == here.data.params
    assert {key: there.data.tags[key] for key in here.data.tags} == here.data.tags


def test_what_the_server_rejects_is_told_and_the_rest_comes(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.project.sql("INSERT INTO params (key, value, run_uuid) VALUES ('bad#?', 'x', ?)", run)
    far.project.sql("INSERT INTO metrics VALUES ('bad#?', 1.0, 1, ?, 0, 0)", run)

    summary = far.push()

    assert far.run_of(run).data.params == {"lr": "0.1"}
    assert far.run_of(run).data.metrics == {"loss": 1 / 3}
    assert [("Param bad#?" in note, "bad#? of run" in note) for note in summary.notes] == [
        (True, True),
        (False, True),
    ]


def test_a_deleted_run_is_deleted_there(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.project.client.delete_run(run)

    far.push()

    (there,) = far.runs(view=2)
    assert there.data.metrics == {"loss": 1 / 3} and there.info.status == "FINISHED"
    far.project.client.restore_run(run)
    far.push()
    assert [each.info.run_id for each in far.runs(view=1)] == [there.info.run_id]


def test_a_run_that_is_gone_at_the_source_is_kept_and_marked(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.push()
    far.project.hard_delete(run)

    summary = far.push()

    assert summary.deleted_there == (run,)
    assert far.run_of(run).data.tags["remote.deleted_on"] == far.name
    assert far.push().deleted_there == ()


def test_what_the_api_cannot_carry_is_said(far: Far) -> None:
    far.project.sql(
        "INSERT INTO evaluation_datasets (dataset_id, name) VALUES ('d-1', 'questions')"
    )
    far.project.sql("CREATE TABLE pictures (x)")
    far.project.sql("INSERT INTO pictures VALUES (1)")

    assert set(far.push().left_out) == {"evaluation_datasets", "pictures"}
    assert any("new ids" in limit for limit in upload.LIMITS)


def test_progress_comes_to_its_end(far: Far) -> None:
    far.project.run(far.experiment)
    told: list[tuple[int, int]] = []
    upload.merge(
        far.delta(),
        address=far.address,
        base=far.base,
        source=far.name,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == sorted(told) and told[-1][0] == told[-1][1] > 3


def history(client: Any, run: str) -> list[tuple[float, int, int]]:
    found = client.get_metric_history(run, "loss")
    return sorted((each.step, each.timestamp, each.value) for each in found)
