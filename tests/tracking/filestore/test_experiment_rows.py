"""An experiment's own rows, its data sets and its logged models."""

from __future__ import annotations

from remote.tracking.filestore.delta_output import DeltaOutput
from tests.tracking.filestore.file_stores import Delta, FileStore


def test_an_experiment_in_the_trash_is_deleted_whatever_its_meta_says(store):
    store.experiment(7, name="old")
    run = store.run(1, 7)
    (store.root / ".trash").mkdir()
    (store.root / "7").rename(store.root / ".trash" / "7")
    delta = Delta(store)
    assert delta.rows("experiments", "experiment_id, lifecycle_stage") == [
        (0, "active"),
        (7, "deleted"),
    ]
    assert delta.rows("runs", "artifact_uri") == [(f"{store.root}/.trash/7/{run}/artifacts",)]


def test_folders_without_meta_are_somebodys_artifacts(store):
    store.write("0/some-run/artifacts/model.bin", "x")
    store.write("5/other/artifacts/model.bin", "x")
    delta = Delta(store)
    assert (delta.ids("run"), delta.ids("experiment"), delta.left_out) == ([], ["0"], [])


def test_equal_datasets_of_two_stores_are_two(store, tmp_path):
    other = FileStore(tmp_path / "other")
    other.experiment()
    for each in (store, other):
        each.write("0/datasets/aa/meta.yaml", "digest: x\nname: d\n")
    uuids = {Delta(each).rows("datasets", "dataset_uuid")[0] for each in (store, other)}
    assert len(uuids) == 2


def test_a_model_whose_run_began_after_the_runs_were_listed_comes_again(store, monkeypatch):
    """Its metrics name a run that isn't in the delta: the merge would drop them for good."""
    model = "m-" + "1" * 32
    store.write(f"0/models/{model}/meta.yaml", f"model_id: {model}\nstatus: 2\n")
    store.write(f"0/models/{model}/metrics/acc", f"1 0.5 2 {1:032x}\n1 0.5 2 {2:032x}\n")
    store.run(1)
    store.run(2)
    store.age()
    listed = DeltaOutput.subfolders
    monkeypatch.setattr(
        DeltaOutput,
        "subfolders",
        lambda output, path: listed(output, path)[: 1 + ("models" in path)],
    )
    known = Delta(store).after()
    monkeypatch.undo()
    assert Delta(store, known).ids("model") == [model]
    assert Delta(store, Delta(store, known).after()).ids("model") == []


def test_a_damaged_experiment_leaves_out_its_runs_and_nothing_is_gone(store):
    store.experiment(2, name="two")
    run = store.run(1, 2)
    store.age()
    known = Delta(store).after()
    store.write("2/meta.yaml", b"\x00")
    delta = Delta(store, known)
    assert (delta.ids("run"), delta.gone()) == ([], [])
    assert delta.left_out == [
        "experiments/2: meta.yaml can't be read, so its runs are left out"
        " (it isn't YAML as MLflow writes it)"
    ]
    (store.root / "2" / "meta.yaml").unlink()
    assert Delta(store, known).left_out == [
        "experiments/2: meta.yaml is missing, so its runs are left out"
    ]
    assert ("run", run) not in Delta(store, known).gone()
