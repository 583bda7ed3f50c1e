"""Experiments are matched by name, and made where they are missing."""

from __future__ import annotations

from typing import Any

from tests.upload.conftest import Far


def test_an_experiment_of_the_same_name_is_taken(far: Far) -> None:
    ours = far.there.create_experiment(f"exp {far.folder}")
    far.project.run(far.experiment)

    assert far.push().new_experiments == 0

    assert far.runs()[0].info.experiment_id == ours


def test_tags_names_and_deletion_arrive(far: Far) -> None:
    client = far.project.client
    far.project.run(far.experiment)
    client.set_experiment_tag(far.experiment, "team", "red")
    far.push()
    ours = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    assert far.there.get_experiment(ours).tags["team"] == "red"

    client.set_experiment_tag(far.experiment, "team", "blue")
    client.rename_experiment(far.experiment, f"later {far.folder}")
    far.push()
    there = far.there.get_experiment(ours)
    assert (there.name, there.tags["team"]) == (f"later {far.folder}", "blue")

    client.delete_experiment(far.experiment)
    far.push()
    assert stages(far, ours) == ("deleted", ["deleted"])
    client.restore_experiment(far.experiment)
    far.push()
    assert stages(far, ours) == ("active", ["active"])


def test_a_deleted_experiment_comes_and_is_deleted(far: Far) -> None:
    far.project.run(far.experiment)
    far.project.client.delete_experiment(far.experiment)

    far.push()

    ours = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    assert stages(far, ours) == ("deleted", ["deleted"])


def test_a_name_renamed_on_both_sides_is_a_conflict(far: Far) -> None:
    far.project.run(far.experiment)
    far.push()
    ours = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    far.there.rename_experiment(ours, f"here {far.folder}")
    far.project.client.rename_experiment(far.experiment, f"there {far.folder}")

    (conflict,) = far.push().conflicts

    assert (conflict.table, conflict.column) == ("experiments", "name")
    assert far.there.get_experiment(ours).name == f"here {far.folder}"
    assert far.push().conflicts == ()


def test_the_name_of_a_deleted_experiment_of_the_server_isnt_used(far: Far) -> None:
    gone = far.there.create_experiment(f"exp {far.folder}")
    far.there.delete_experiment(gone)
    run = far.project.run(far.experiment)

    summary = far.push()

    other = far.there.get_experiment_by_name(f"exp {far.folder} ({far.name})")
    (there,) = far.there.search_runs([other.experiment_id])
    assert there.data.tags["remote.source_run"] == run
    assert any("is taken on the server" in note for note in summary.notes)
    assert far.there.get_experiment(gone).lifecycle_stage == "deleted"
    far.project.client.set_experiment_tag(far.experiment, "team", "red")
    assert far.push().conflicts == ()
    assert far.there.get_experiment(other.experiment_id).tags["team"] == "red"


def test_new_runs_for_an_experiment_deleted_on_the_server_wait(far: Far) -> None:
    far.project.run(far.experiment)
    far.push()
    ours = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    far.there.delete_experiment(ours)
    run = far.project.run(far.experiment)

    assert [each.id for each in far.push().refused] == [run]
    assert len(far.runs()) == 1

    far.there.restore_experiment(ours)
    far.push()
    far.push()
    assert far.run_of(run).data.metrics == {"loss": 1 / 3}


def test_with_the_base_lost_a_renamed_experiment_is_found(far: Far) -> None:
    far.project.run(far.experiment)
    far.push()
    ours = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    far.there.rename_experiment(ours, f"here {far.folder}")
    far.base.unlink()
    far.project.run(far.experiment)

    assert far.push().new_experiments == 0
    assert len(far.there.search_runs([ours])) == 2


def stages(far: Far, experiment: str) -> tuple[str, list[Any]]:
    runs = far.there.search_runs([experiment], run_view_type=3)
    stage = far.there.get_experiment(experiment).lifecycle_stage
    return stage, [run.info.lifecycle_stage for run in runs]
