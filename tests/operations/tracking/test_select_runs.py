"""Which runs a push gives, and what goes with them and nobody else's."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.agent.replication.receive import REGISTRY, RUNS
from remote.errors import StoreError
from remote.operations.tracking.select_runs import (
    SelectedRuns,
    Selection,
    gather,
    pack,
    resolve,
)
from remote.tracking.schema import EXPERIMENT, MODEL, REGISTERED_MODEL, RUN, TRACE
from tests.operations.tracking.conftest import Store


def found(store: Store, *words: str, experiment: str = "") -> tuple[str, ...]:
    return resolve(store.file, Selection(words, experiment))


def gathered(store: Store, *runs: str, traces: bool = False, registry: bool = False) -> Any:
    return gather(store.file, runs, Selection(runs, "", traces, registry), store.root)


def model(store: Store, name: str, *, run: str = "", location: str = "") -> str:
    """A logged model with this id and name."""
    where = location or str(store.root / f"mlruns/1/models/m-{name}/artifacts")
    store.sql(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
        " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, source_run_id)"
        " VALUES (?, 1, ?, ?, (SELECT count(*) FROM logged_models), 0, 2, 'active', ?)",
        *(f"m-{name}", name, where, run or None),
    )
    return f"m-{name}"


def trace(store: Store, name: str, *, run: str) -> str:
    store.sql(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES (?, 1, 1, 'OK')",
        name,
    )
    store.sql(
        "INSERT INTO trace_request_metadata (key, value, request_id)"
        " VALUES ('mlflow.sourceRun', ?, ?)",
        *(run, name),
    )
    return name


def version(store: Store, name: str, number: int, *, run: str = "", source: str = "") -> None:
    """A version of a registered model, which a run or a logged model made."""
    store.sql("INSERT OR IGNORE INTO registered_models (name) VALUES (?)", name)
    store.sql(
        "INSERT INTO model_versions (name, version, run_id, source) VALUES (?, ?, ?, ?)",
        *(name, number, run or None, source),
    )


# What words name


def test_a_run_is_named_by_its_id_the_beginning_of_it_or_its_name(here: Store) -> None:
    run = here.run("abcdef01", name="it's 100% `mine`")
    here.run("ffff0000")
    for word in (run, "abcd", "it's 100% `mine`"):
        assert found(here, word) == (run,)


def test_a_run_keeps_the_name_that_only_its_tag_has(here: Store) -> None:
    run = here.run("r1", name="tagged")
    here.sql("UPDATE runs SET name = ''")
    assert found(here, "tagged") == (run,)


@pytest.mark.parametrize("word", ["abc", "", "%", "abc_ef01", "ABCDEF01", "bcde"])
def test_what_is_no_id_no_beginning_and_no_name_is_refused(here: Store, word: str) -> None:
    here.run("abcdef01")
    with pytest.raises(StoreError, match="No local run is called") as caught:
        found(here, word)
    assert "the first 4 characters" in caught.value.hint


def test_a_name_that_several_have_is_settled_by_their_ids(here: Store) -> None:
    for run in ("r2", "r1"):
        here.run(run, name="twins")
    with pytest.raises(StoreError, match="2 runs are called 'twins'") as caught:
        found(here, "twins")
    assert [line.split()[0] for line in caught.value.message.splitlines()[1:]] == ["r2", "r1"]
    assert caught.value.hint.endswith("inv mlflow-push r1")
    here.delete("r2")
    assert found(here, "twins") == ("r1",)


def test_an_id_is_taken_before_the_name_of_another(here: Store) -> None:
    here.run("r1", name="r2")
    here.run("r2", name="other")
    assert found(here, "r2") == ("r2",)


def test_an_experiment_gives_its_runs_by_their_start_after_the_named(here: Store) -> None:
    for run in ("r3", "r1", "r2", "gone"):
        here.run(run, experiment="mine")
    here.delete("gone")
    here.run("other")
    assert found(here, experiment="mine") == ("r3", "r1", "r2")
    assert found(here, "other", "r2", "other", experiment="mine") == ("other", "r2", "r3", "r1")


@pytest.mark.parametrize(
    ("words", "experiment", "told"),
    [
        ((), "", "No run is named"),
        ((), "nothing", "There is no local experiment 'nothing'"),
        ((), "Default", "The experiment 'Default' has no run"),
    ],
)
def test_nothing_is_not_given(
    here: Store, words: tuple[str, ...], experiment: str, told: str
) -> None:
    with pytest.raises(StoreError, match=told):
        found(here, *words, experiment=experiment)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("no database, but long enough to be taken for one " * 9)
    with pytest.raises(StoreError):
        resolve(file, Selection(("r1",)))


# What goes with them


def test_all_below_a_run_go_and_no_other(here: Store) -> None:
    here.run("a-child", parent="parent")
    here.run("parent")
    here.run("grandchild", experiment="elsewhere", parent="a-child")
    here.run("deleted", parent="parent")
    here.delete("deleted")
    here.run("stranger", experiment="strange")
    selected = gathered(here, "parent")
    assert selected.ids[RUN][0] == "parent"
    assert set(selected.ids[RUN]) == {"parent", "a-child", "grandchild"}
    names = {
        name
        for experiment in selected.ids[EXPERIMENT]
        for (name,) in here.sql("SELECT name FROM experiments WHERE experiment_id = ?", experiment)
    }
    assert names == {"digits", "elsewhere"}
    assert selected.folders["a-child"] == "mlruns/1/a-child/artifacts"


def test_runs_that_are_each_others_parents_end(here: Store) -> None:
    here.run("r1", parent="r2")
    here.run("r2", parent="r1")
    assert set(gathered(here, "r1").ids[RUN]) == {"r1", "r2"}


def test_a_deleted_run_has_to_be_restored_first(here: Store) -> None:
    here.run("r1")
    here.delete("r1")
    with pytest.raises(StoreError, match="Run r1 is deleted locally") as caught:
        gathered(here, "r1")
    assert caught.value.hint == "Restore it first: mlflow runs restore --run-id r1"


def test_a_deleted_experiment_has_to_be_restored_first(here: Store) -> None:
    here.run("r1", experiment="old")
    here.sql("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'old'")
    with pytest.raises(StoreError, match="The experiment 'old' is deleted locally"):
        gathered(here, "r1")


def test_models_that_a_run_made_or_used_go_too(here: Store) -> None:
    here.run("r1")
    here.run("r2")
    first, second = model(here, "first", run="r1"), model(here, "second", run="r1")
    used, other = model(here, "used", run="r2"), model(here, "other", run="r2")
    here.sql(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " VALUES ('i', 'RUN_INPUT', 'r1', 'MODEL_INPUT', ?)",
        used,
    )
    selected = gathered(here, "r1")
    assert set(selected.ids[MODEL]) == {first, second, used} and other not in selected.folders
    assert selected.model == "runs:/r1/first"
    assert gathered(here, "r1", "r2").model == "runs:/r1/first"


def test_traces_and_registered_models_go_where_they_are_asked_for(here: Store) -> None:
    for run in ("r1", "r2"):
        here.run(run)
        trace(here, f"tr-{run}", run=run)
    logged = model(here, "net", run="r1")
    version(here, "by run", 1, run="r1")
    version(here, "by model", 1, source=f"models:/{logged}")
    version(here, "other", 1, run="r2")
    plain = gathered(here, "r1")
    assert (plain.ids[TRACE], plain.ids[REGISTERED_MODEL]) == ([], [])
    asked = gathered(here, "r1", traces=True, registry=True)
    assert asked.ids[TRACE] == ["tr-r1"]
    assert set(asked.ids[REGISTERED_MODEL]) == {"by run", "by model"}


def test_a_named_run_whose_artifacts_lie_elsewhere_on_this_machine_is_refused(here: Store) -> None:
    here.run("r1")
    here.sql("UPDATE runs SET artifact_uri = '/data/art/r1/artifacts'")
    with pytest.raises(StoreError, match="aren't in this project's mlruns: /data/art") as caught:
        gathered(here, "r1")
    assert "inv mlflow-check" in caught.value.hint


def test_what_only_goes_along_stays_and_is_told_if_its_artifacts_lie_outside(here: Store) -> None:
    here.run("r1")
    here.run("child", parent="r1")
    here.sql("UPDATE runs SET artifact_uri = '/data/x/artifacts' WHERE run_uuid = 'child'")
    net = model(here, "net", run="r1", location="/data/net/artifacts")
    selected = gathered(here, "r1")
    assert (selected.ids[RUN], selected.ids[MODEL]) == (["r1"], [])
    assert selected.outside == {"child": "/data/x/artifacts", net: "/data/net/artifacts"}


def test_nothing_goes_for_the_sake_of_what_stays(here: Store) -> None:
    here.run("r1")
    here.run("child", parent="r1", experiment="of the child")
    here.sql("UPDATE runs SET artifact_uri = '/data/x/artifacts' WHERE run_uuid = 'child'")
    net = model(here, "net", run="r1", location="/data/net/artifacts")
    version(here, "of the model", 1, source=f"models:/{net}")
    version(here, "of the child", 1, run="child")
    version(here, "mine", 1, run="r1")
    selected = gathered(here, "r1", registry=True)
    assert selected.ids[REGISTERED_MODEL] == ["mine"]
    assert len(selected.ids[EXPERIMENT]) == 1


def test_artifacts_in_a_bucket_are_the_same_from_everywhere(here: Store) -> None:
    here.run("r1")
    here.sql("UPDATE runs SET artifact_uri = 's3://bucket/1/r1/artifacts'")
    selected = gathered(here, "r1")
    assert (selected.ids[RUN], selected.folders, selected.outside) == (["r1"], {}, {})


# The deltas


def packed(here: Store, folder: Path, selected: SelectedRuns) -> dict[str, Path]:
    folder.mkdir()
    pack(here.file, folder, selected, here.root)
    return {path.name: path for path in folder.iterdir()}


def rows(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as database:
        return sorted(database.execute(query))


def test_only_what_was_selected_is_packed(here: Store, tmp_path: Path) -> None:
    here.run("r1")
    here.run("r2", experiment="secret")
    version(here, "net", 1, run="r1")
    before = here.dump()
    files = packed(here, tmp_path / "out", gathered(here, "r1"))
    assert list(files) == [RUNS]
    assert rows(files[RUNS], "SELECT run_uuid FROM runs") == [("r1",)]
    assert rows(files[RUNS], "SELECT name FROM experiments") == [("digits",)]
    # Nor is it anybody's business there what else there is.
    assert (
        json.loads(rows(files[RUNS], "SELECT value FROM meta WHERE key = 'left_out'")[0][0]) == []
    )
    assert b"secret" not in files[RUNS].read_bytes()
    assert here.dump() == before


def test_of_a_registered_model_only_the_selected_versions_are_packed(
    here: Store, tmp_path: Path
) -> None:
    here.run("r1")
    here.run("r2")
    version(here, "net", 1, run="r1")
    version(here, "net", 2, run="r2")
    version(here, "net", 3)
    for number in (1, 2):
        here.sql(
            "INSERT INTO model_version_tags (key, value, name, version) VALUES ('k', 'v', 'net', ?)",
            number,
        )
    files = packed(here, tmp_path / "out", gathered(here, "r1", registry=True))
    assert set(files) == {RUNS, REGISTRY}
    assert rows(files[REGISTRY], "SELECT name, version FROM model_versions") == [("net", 1)]
    assert rows(files[REGISTRY], "SELECT name, version FROM model_version_tags") == [("net", 1)]
