"""Runs arrive whole, once, and grow; what cannot be carried is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracking.export.conftest import Killed, Laptop, watch_requests


def test_a_run_arrives_with_all_that_it_has(laptop: Laptop, tmp_path: Path) -> None:
    run = laptop.project.run(laptop.experiment, steps=2300)
    laptop.client.set_tag(run, "mlflow.note.content", "a note")
    laptop.client.set_tag(run, "mlflow.user", "ann")
    laptop.log(run, "plots/a & b ü.txt", b"plot")

    summary = laptop.export()

    assert summary is not None
    assert (summary.new, summary.metric_rows) == ({"experiment": 1, "run": 1}, 2300)
    assert (summary.files, summary.bytes) == (1, 4)
    there = laptop.run_of(run)
    assert (there.info.run_name, there.info.status) == ("sunny", "FINISHED")
    assert (there.info.start_time, there.info.end_time) == (1_000_000, 2_000_000)
    assert there.info.user_id == "ann"
    assert there.data.params == {"lr": "0.1"}
    assert there.data.tags["colour"] == "red"
    assert there.data.tags["mlflow.note.content"] == "a note"
    assert laptop.history(run) == [(step, 1 / (step + 1)) for step in range(2300)]
    assert laptop.artifact(run, "plots/a & b ü.txt", tmp_path / "read") == b"plot"


def test_nothing_is_asked_of_the_server_where_nothing_is_new(
    laptop: Laptop, requests_sent: list[str]
) -> None:
    laptop.log(laptop.project.run(laptop.experiment), "a.txt", b"a")
    laptop.export()
    requests_sent.clear()

    assert laptop.export() is None
    assert requests_sent == [] and len(laptop.runs()) == 1


def test_a_run_grows_while_it_runs(laptop: Laptop, tmp_path: Path) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.log(run, "log.txt", b"one")
    laptop.export()
    assert laptop.run_of(run).info.status == "RUNNING"

    laptop.project.log(run, range(3, 6))
    laptop.log(run, "log.txt", b"one two")
    laptop.client.set_tag(run, "colour", "green")
    laptop.client.set_tag(run, "new", "tag")
    laptop.client.log_param(run, "batch", "32")
    summary = laptop.export()

    assert summary is not None
    assert (summary.new, summary.grown_runs, summary.metric_rows) == ({}, 1, 3)
    laptop.client.update_run(run, name="rainy")
    laptop.client.set_terminated(run, "FAILED", end_time=3_000_000)
    laptop.export()

    there = laptop.run_of(run)
    assert (there.info.run_name, there.info.status) == ("rainy", "FAILED")
    assert there.info.end_time == 3_000_000
    assert there.data.params == {"lr": "0.1", "batch": "32"}
    assert (there.data.tags["colour"], there.data.tags["new"]) == ("green", "tag")
    assert len(laptop.history(run)) == 6
    assert laptop.artifact(run, "log.txt", tmp_path / "read") == b"one two"


def test_a_run_that_is_taken_up_again_runs_on_the_server_too(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.export()
    laptop.client.update_run(run, "RUNNING")
    laptop.export()
    assert laptop.run_of(run).info.status == "RUNNING"
    laptop.client.set_terminated(run, "KILLED", end_time=4_000_000)
    laptop.export()
    info = laptop.run_of(run).info
    assert (info.status, info.end_time) == ("KILLED", 4_000_000)


def test_children_hang_below_their_parents(laptop: Laptop) -> None:
    child = laptop.project.run(laptop.experiment)
    parent = laptop.project.run(laptop.experiment)
    laptop.client.set_tag(child, "mlflow.parentRunId", parent)
    laptop.export()
    tag = laptop.run_of(child).data.tags["mlflow.parentRunId"]
    assert tag == laptop.run_of(parent).info.run_id


def test_data_sets_and_logged_models_arrive(laptop: Laptop) -> None:
    from mlflow.entities import (
        Dataset,
        DatasetInput,
        InputTag,
        LoggedModelInput,
        LoggedModelOutput,
        Metric,
    )

    run = laptop.project.run(laptop.experiment, end=None)
    dataset = Dataset("iris", "abc", "local", '{"uri": "x"}', schema="[]", profile="{}")
    use = DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])
    model = laptop.client.create_logged_model(
        laptop.experiment, "net", run, tags={"a": "b"}, params={"depth": "3"}, model_type="agent"
    ).model_id
    laptop.client.log_inputs(run, datasets=[use], models=[LoggedModelInput(model)])
    laptop.client.log_outputs(run, [LoggedModelOutput(model, 7)])
    laptop.client.log_batch(
        run, [Metric("acc", 0.5, 9, 2, model_id=model, dataset_name="iris", dataset_digest="abc")]
    )
    folder = laptop.project.mlruns / laptop.experiment / "models" / model / "artifacts"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    laptop.client.finalize_logged_model(model, "READY")

    for _ in range(2):
        laptop.export()
        laptop.client.set_tag(run, "again", "yes")

    there = laptop.run_of(run)
    (dataset_input,) = there.inputs.dataset_inputs
    assert dataset_input.dataset.to_dictionary() == dataset.to_dictionary()
    assert [tag.value for tag in dataset_input.tags] == ["train"]
    (model_there,) = laptop.server.search_logged_models([there.info.experiment_id])
    assert model_there.name == "net" and model_there.model_type == "agent"
    assert model_there.source_run_id == there.info.run_id
    assert model_there.params == {"depth": "3"}
    assert (model_there.tags["a"], model_there.tags["remote.source_model"]) == ("b", model)
    assert str(model_there.status) == "READY"
    assert [(metric.key, metric.value) for metric in model_there.metrics] == [("acc", 0.5)]
    assert laptop.history(run, "acc") == [(2, 0.5)]
    assert [used.model_id for used in there.inputs.model_inputs] == [model_there.model_id]
    outputs = [(made.model_id, made.step) for made in there.outputs.model_outputs]
    assert outputs == [(model_there.model_id, 7)]
    files = laptop.server.list_logged_model_artifacts(model_there.model_id)
    assert [file.path for file in files] == ["MLmodel"]


def test_an_experiment_takes_its_tags_along_and_is_known_by_any_name(laptop: Laptop) -> None:
    laptop.project.run(laptop.experiment)
    laptop.client.set_experiment_tag(laptop.experiment, "mlflow.note.content", "first")
    laptop.export()
    there = laptop.server.get_experiment_by_name(laptop.name)
    assert there.tags["mlflow.note.content"] == "first"
    laptop.client.rename_experiment(laptop.experiment, f"{laptop.name} here")
    laptop.name += " there"
    laptop.server.rename_experiment(there.experiment_id, laptop.name)
    laptop.project.run(laptop.experiment)
    laptop.export()
    assert len(laptop.runs()) == 2


def test_an_experiment_that_the_server_has_is_used(laptop: Laptop) -> None:
    there = laptop.server.create_experiment(laptop.name)
    laptop.project.run(laptop.experiment)
    laptop.export()
    assert laptop.runs()[0].info.experiment_id == there


def test_runs_of_an_experiment_that_is_deleted_on_the_server_wait(laptop: Laptop) -> None:
    there = laptop.server.create_experiment(laptop.name)
    laptop.server.delete_experiment(there)
    run = laptop.project.run(laptop.experiment)

    summary = laptop.export()
    assert summary is not None and summary.new == {}
    assert [laptop.name in note and "deleted" in note for note in summary.notes[3:]] == [True]

    laptop.server.restore_experiment(there)
    laptop.export()
    assert laptop.run_of(run).info.status == "FINISHED"


@pytest.mark.parametrize("record", ["kept", "lost"])
def test_a_run_that_is_deleted_on_the_server_stays_deleted(laptop: Laptop, record: str) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.export()
    laptop.server.delete_run(laptop.run_of(run).info.run_id)
    if record == "lost":
        laptop.lose_record()
    laptop.client.set_tag(run, "colour", "green")

    summary = laptop.export()

    assert summary is not None and any("deleted on the server" in note for note in summary.notes)
    assert laptop.runs(view=1) == [] and len(laptop.runs()) == 1
    assert laptop.export() is None


def test_what_is_deleted_here_is_not_exported(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.client.delete_run(run)
    assert laptop.export() is None


def test_what_is_changed_on_the_server_is_kept(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.client.set_tag(run, "gone", "x")
    laptop.export()
    there = laptop.run_of(run).info.run_id
    laptop.server.set_tag(there, "colour", "blue")
    laptop.server.update_run(there, name="stormy")
    laptop.server.delete_tag(there, "gone")
    laptop.client.set_tag(run, "colour", "green")
    laptop.client.set_tag(run, "gone", "y")
    laptop.client.update_run(run, name="rainy")

    summary = laptop.export()

    assert summary is not None
    (note,) = (note for note in summary.notes if "kept" in note)
    assert note == f"kept the server's: name, tag:colour, tag:gone of run {run}"
    found = laptop.run_of(run)
    assert (found.info.run_name, found.data.tags["colour"]) == ("stormy", "blue")
    assert "gone" not in found.data.tags


def test_without_its_record_nothing_is_doubled_or_overwritten(
    laptop: Laptop, tmp_path: Path
) -> None:
    run = laptop.project.run(laptop.experiment, end=None, steps=1200)
    laptop.log(run, "a.txt", b"here")
    laptop.log(run, "b.txt", b"same")
    laptop.export()
    there = laptop.run_of(run).info.run_id
    laptop.server.set_tag(there, "colour", "blue")
    (tmp_path / "a.txt").write_bytes(b"on the server")
    laptop.server.log_artifact(there, str(tmp_path / "a.txt"))
    laptop.lose_record()
    laptop.project.log(run, range(1200, 1500))
    laptop.client.set_terminated(run, "FINISHED", end_time=3_000_000)

    summary = laptop.export()

    assert summary is not None
    assert (summary.new, summary.metric_rows, summary.files) == ({}, 300, 0)
    assert f"kept the server's: a.txt of run {run}" in summary.notes
    found = laptop.run_of(run)
    assert (found.data.tags["colour"], found.info.status) == ("blue", "FINISHED")
    assert len(laptop.history(run)) == 1500
    assert laptop.artifact(run, "a.txt", tmp_path / "read") == b"on the server"


def test_a_damaged_record_counts_as_lost(laptop: Laptop) -> None:
    laptop.project.run(laptop.experiment)
    laptop.export()
    for file in laptop.record.iterdir():
        file.write_bytes(b"no JSON")
    summary = laptop.export()
    assert summary is not None and (summary.new, summary.metric_rows) == ({}, 0)
    assert len(laptop.runs()) == 1


def test_a_value_that_the_server_refuses_is_named(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.project.sql("INSERT INTO tags VALUES ('/../odd', 'x', ?)", run)
    laptop.project.sql("INSERT INTO tags VALUES ('good', 'x', ?)", run)

    summary = laptop.export()

    assert summary is not None
    (note,) = (note for note in summary.notes if "left out" in note)
    assert "/../odd" in note and run in note
    assert laptop.run_of(run).data.tags["good"] == "x"
    assert laptop.export() is None


def test_what_takes_the_place_of_a_refused_value_is_sent(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.project.sql("INSERT INTO tags VALUES ('/../odd', 'x', ?)", run)
    laptop.project.sql("INSERT INTO params VALUES ('lr rate', 'x', ?)", run)
    summary = laptop.export()
    assert summary is not None and summary.metric_rows == 3
    laptop.project.sql("UPDATE tags SET value = 'y' WHERE key = '/../odd'")

    summary = laptop.export()

    assert summary is not None
    (note,) = summary.notes
    assert "/../odd" in note and "left out" in note


def test_a_run_without_a_name_gets_the_one_that_it_is_given_later(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.project.sql("UPDATE runs SET name = ''")
    laptop.project.sql("DELETE FROM tags WHERE key = 'mlflow.runName'")
    laptop.export()
    assert laptop.run_of(run).info.run_name
    laptop.client.set_tag(run, "colour", "green")
    laptop.export()
    assert laptop.run_of(run).info.run_name
    laptop.client.update_run(run, name="rainy")

    summary = laptop.export()

    assert summary is not None and summary.notes == []
    assert laptop.run_of(run).info.run_name == "rainy"


def test_a_parent_that_comes_later_is_named_by_its_children(laptop: Laptop) -> None:
    child = laptop.project.run(laptop.experiment)
    parent = laptop.project.run(laptop.experiment)
    laptop.client.set_tag(child, "mlflow.parentRunId", parent)
    laptop.client.delete_run(parent)
    laptop.export()
    assert laptop.run_of(child).data.tags["mlflow.parentRunId"] == parent
    laptop.client.restore_run(parent)

    laptop.export()

    tag = laptop.run_of(child).data.tags["mlflow.parentRunId"]
    assert tag == laptop.run_of(parent).info.run_id
    assert laptop.export() is None


def test_what_no_server_takes_is_named(laptop: Laptop) -> None:
    laptop.project.run(laptop.experiment)
    summary = laptop.export()
    assert summary is not None
    for text in ("new ids", "is deleted locally", "registered models"):
        assert any(text in note for note in summary.notes)


def test_an_export_can_be_killed_at_any_request(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parent = laptop.project.run(laptop.experiment, steps=2300)
    child = laptop.project.run(laptop.experiment, end=None)
    laptop.client.set_tag(child, "mlflow.parentRunId", parent)
    laptop.log(parent, "a.txt", b"here")
    laptop.log(parent, "b.txt", b"here too")

    killed = export_in_pieces(laptop, monkeypatch)

    assert killed > 8
    assert len(laptop.runs()) == 2
    there = laptop.run_of(parent)
    assert len(laptop.history(parent)) == 2300
    assert there.data.tags["colour"] == "red" and there.info.status == "FINISHED"
    assert laptop.run_of(child).data.tags["mlflow.parentRunId"] == there.info.run_id
    assert laptop.artifact(parent, "b.txt", tmp_path / "read") == b"here too"


def test_what_changes_between_two_killed_exports_is_still_ours(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    for number in range(8):
        laptop.client.set_tag(run, "colour", f"c{number}")
        laptop.client.update_run(run, name=f"n{number}")
        laptop.log(run, "log.txt", b"x" * (number + 1))
        with monkeypatch.context() as patch:
            kill_at(patch, 1 + number % 3, after=number % 2 == 0)
            try:
                laptop.export()
            except Killed:
                pass

    summary = laptop.export()

    assert summary is not None and not any("kept" in note for note in summary.notes)
    there = laptop.run_of(run)
    assert (there.data.tags["colour"], there.info.run_name) == ("c7", "n7")
    assert laptop.artifact(run, "log.txt", tmp_path / "read") == b"x" * 8


def export_in_pieces(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> int:
    """Killed again and again, at the second writing request: before it, the next time after it."""
    for killed in range(200):
        try:
            with monkeypatch.context() as patch:
                kill_at(patch, 2, after=bool(killed % 2))
                laptop.export()
            return killed
        except Killed:
            continue
    raise AssertionError("It never comes to its end.")


def kill_at(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    count = 0

    def kill(method: str, path: str, send: object) -> object:
        nonlocal count
        count += 1
        if count == number and not after:
            raise Killed
        answer = send()  # type: ignore[operator]
        if count == number:
            raise Killed
        return answer

    watch_requests(patch, kill)
