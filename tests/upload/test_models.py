"""Logged models, datasets, and how runs hang together with them."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
)

from tests.upload.conftest import Far
from tests.upload.test_interrupted import upload_in_steps


def model(far: Far, run: str, **rest: Any) -> str:
    made = far.project.client.create_logged_model(
        far.experiment, name="net", source_run_id=run, model_type="torch", **rest
    )
    return str(made.model_id)


def model_there(far: Far, source: str) -> Any:
    experiment = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    found = far.there.search_logged_models([experiment])
    (one,) = (each for each in found if each.tags["remote.source_model"] == source)
    return one


def test_a_model_comes_with_its_parameters_tags_and_metrics(far: Far) -> None:
    client = far.project.client
    run = far.project.run(far.experiment, end=None)
    made = model(far, run, params={"depth": "3"}, tags={"colour": "red"})
    client.finalize_logged_model(made, LoggedModelStatus.READY)
    client.log_batch(
        run,
        [
            Metric("acc", 0.5, 10, 0, model_id=made, dataset_name="d", dataset_digest="x"),
            Metric("acc", 0.75, 20, 1, model_id=made),
        ],
    )
    client.log_outputs(run, [LoggedModelOutput(made, step=4)])

    summary = far.push()

    assert (summary.new_models, summary.notes) == (1, ())
    there = model_there(far, made)
    assert (there.name, there.model_type) == ("net", "torch")
    assert there.status == LoggedModelStatus.READY
    assert there.params == {"depth": "3"} and there.tags["colour"] == "red"
    assert there.source_run_id == far.run_of(run).info.run_id
    assert [(each.key, each.value, each.step) for each in there.metrics] == [
        ("acc", 0.5, 0),
        ("acc", 0.75, 1),
    ]
    outputs = far.there.get_run(there.source_run_id).outputs.model_outputs
    assert [(each.model_id, each.step) for each in outputs] == [(there.model_id, 4)]


def test_a_model_changes_on_both_sides(far: Far, writes: list[str]) -> None:
    client = far.project.client
    run = far.project.run(far.experiment)
    made = model(far, run, tags={"colour": "red", "old": "1"})
    far.push()
    ours = model_there(far, made).model_id
    far.there.set_logged_model_tags(ours, {"colour": "blue"})
    client.set_logged_model_tags(made, {"size": "big"})
    client.delete_logged_model_tag(made, "old")
    client.finalize_logged_model(made, LoggedModelStatus.READY)

    assert far.push().conflicts == ()

    there = far.there.get_logged_model(ours)
    tags = {key: there.tags.get(key) for key in ("colour", "size", "old")}
    assert tags == {"colour": "blue", "size": "big", "old": None}
    assert there.status == LoggedModelStatus.READY
    writes.clear()
    far.push()
    assert writes == []


def test_a_model_deleted_at_the_source_is_deleted_there(far: Far) -> None:
    run = far.project.run(far.experiment)
    made = model(far, run)
    far.push()
    ours = model_there(far, made).model_id
    far.project.client.delete_logged_model(made)

    far.push()

    with pytest.raises(Exception, match="not found"):
        far.there.get_logged_model(ours)
    assert far.push().refused == ()


def test_datasets_and_models_that_a_run_used(far: Far) -> None:
    client = far.project.client
    first, second = far.project.run(far.experiment), far.project.run(far.experiment)
    made = model(far, first)
    used = [DatasetInput(Dataset("d", "1a", "local", "/data", "s", "p"), [InputTag("use", "test")])]
    client.log_inputs(first, used)
    far.push()
    # The dataset's own row came with the first upload.
    client.log_inputs(second, used, [LoggedModelInput(made)])

    far.push()

    for run in (first, second):
        (found,) = far.run_of(run).inputs.dataset_inputs
        assert found.to_dictionary() == used[0].to_dictionary()
    (there,) = far.there.get_run(far.run_of(second).info.run_id).inputs.model_inputs
    assert there.model_id == model_there(far, made).model_id


def test_it_can_be_stopped_anywhere(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    client = far.project.client
    run = far.project.run(far.experiment)
    made = model(far, run, params={"depth": "3"})
    client.log_inputs(run, [DatasetInput(Dataset("d", "1a", "local", "/data"))])
    client.log_outputs(run, [LoggedModelOutput(made, step=0)])
    client.log_batch(run, [Metric("acc", 0.5, 10, 0, model_id=made)])

    assert upload_in_steps(far, monkeypatch) > 4

    there = model_there(far, made)
    assert there.params == {"depth": "3"} and len(there.metrics) == 1
    run_there = far.there.get_run(far.run_of(run).info.run_id)
    assert len(run_there.outputs.model_outputs) == 1
    assert len(run_there.inputs.dataset_inputs) == 1


def test_with_the_base_lost_a_model_isnt_doubled(far: Far) -> None:
    run = far.project.run(far.experiment)
    made = model(far, run)
    far.project.client.log_outputs(run, [LoggedModelOutput(made, step=0)])
    far.push()
    far.base.unlink()

    summary = far.push()

    assert (summary.new_models, summary.notes) == (0, ())
    model_there(far, made)
    there = far.there.get_run(far.run_of(run).info.run_id)
    assert len(there.outputs.model_outputs) == 1
