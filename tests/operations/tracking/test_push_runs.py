"""Runs given to a target on this machine: the agent and rsync are the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import StoreError, TransferError
from remote.operations.tracking.pull_records import pull_records
from remote.operations.tracking.push_runs import PushedRuns, push_runs
from remote.operations.tracking.select_runs import Selection
from remote.session import TargetSession
from tests.operations.tracking.conftest import Store


def push(server: TargetSession, *runs: str, dry_run: bool = False) -> PushedRuns:
    return push_runs(server, Selection(runs), dry_run=dry_run)


def test_a_run_arrives_with_its_artifacts_and_what_is_below_it(
    server: TargetSession, here: Store, far: Store
) -> None:
    here.run("r1", artifact="note")
    here.run("child", parent="r1")
    here.run("other", artifact="other")
    (here.root / "mlruns/1/child/artifacts").rmdir()
    pushed = push(server, "r1")
    assert (pushed.runs, pushed.new_runs) == (("r1", "child"), 2)
    assert (far.runs(), far.notes()) == ({"r1", "child"}, {"r1": "note"})
    assert (pushed.without, pushed.refused, pushed.replaced) == (("child",), (), ())
    assert [Path(name).name for name in pushed.files] == ["it's a note.txt"] and pushed.bytes > 4


def test_secrets_among_the_artifacts_stay_here(
    server: TargetSession, here: Store, far: Store
) -> None:
    here.run("r1", artifact="note")
    folder = here.root / "mlruns/1/r1/artifacts"
    for name in (".env", "x/Kaggle.JSON", "x/ca.pem"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    (here.root / ".rsyncignore").write_text("!x/ca.pem\n")
    dry, pushed = push(server, "r1", dry_run=True), push(server, "r1")
    assert dry.refused == pushed.refused and len(dry.files) == len(pushed.files) == 2
    assert [text.split(": ")[0] for text in sorted(pushed.refused)] == [
        "mlruns/1/r1/artifacts/.env",
        "mlruns/1/r1/artifacts/x/Kaggle.JSON",
    ]
    sent = {path.name for path in far.root.rglob("*") if path.is_file()}
    assert "ca.pem" in sent and not sent & {".env", "Kaggle.JSON"}


def test_twice_changes_nothing(server: TargetSession, here: Store, far: Store) -> None:
    here.run("r1", artifact="note")
    push(server, "r1")
    before = here.dump(), far.dump()
    pushed = push(server, "r1")
    assert (pushed.new_runs, pushed.files, pushed.replaced, pushed.backup) == (0, (), (), "")
    assert (here.dump(), far.dump()) == before


def test_what_the_target_has_is_pulled_too(server: TargetSession, here: Store, far: Store) -> None:
    here.run("r1")
    far.run("f1", artifact="theirs")
    push(server, "r1")
    assert here.runs() == far.runs() == {"r1", "f1"}
    assert pull_records(server).artifacts == [] and here.notes() == {"f1": "theirs"}


def test_a_dry_run_asks_the_target_nothing(server: TargetSession, here: Store) -> None:
    here.run("r1", artifact="four")
    before = here.dump()
    pushed = push(server, "r1", dry_run=True)
    assert (pushed.runs, pushed.new_runs, pushed.bytes) == (("r1",), 1, 4)
    assert pushed.files == ("mlruns/1/r1/artifacts/it's a note.txt",)
    assert here.dump() == before and not Path(server.target.path).exists()


def test_a_file_that_differs_there_is_kept_there(
    server: TargetSession, here: Store, far: Store
) -> None:
    here.run("r1", artifact="note")
    push(server, "r1")
    (note,) = here.root.glob("mlruns/*/r1/artifacts/*")
    note.write_text("a longer note")
    pushed = push(server, "r1")
    (name,) = pushed.replaced
    assert far.notes() == {"r1": "a longer note"}
    assert (far.root / pushed.backup / name).read_text() == "note"


def test_what_was_deleted_there_since_comes_back(
    server: TargetSession, here: Store, far: Store
) -> None:
    here.run("r1")
    push(server, "r1")
    far.delete("r1")
    push(server, "r1")
    query = "SELECT lifecycle_stage FROM runs"
    assert here.sql(query) == far.sql(query) == [("active",)]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_with_an_open_conflict_is_not_given(
    server: TargetSession, here: Store, far: Store, dry_run: bool
) -> None:
    here.run("r1")
    here.run("r2")
    push(server, "r1", "r2")
    for store, name in ((here, "mine"), (far, "theirs")):
        store.sql("UPDATE runs SET name = ? WHERE run_uuid = 'r1'", name)
    pull_records(server)
    before = far.dump()
    with pytest.raises(StoreError, match="runs r1 was changed both locally and on") as caught:
        push(server, "r1", dry_run=dry_run)
    assert caught.value.hint == "Resolve that first: inv mlflow-conflicts"
    assert far.dump() == before
    assert push(server, "r2", dry_run=dry_run).runs == ("r2",)


def test_without_a_store_here_there_is_nothing_to_give(server: TargetSession, here: Store) -> None:
    here.file.unlink()
    with pytest.raises(StoreError, match="there is no run to copy"):
        push(server, "r1")
    assert not here.file.exists()


def test_a_target_that_is_not_there_says_what_to_do(server: TargetSession, here: Store) -> None:
    here.run("r1")
    with pytest.raises(TransferError, match="does not exist yet") as caught:
        push(server, "r1")
    assert caught.value.hint == "Push first: make sync-push"
    assert not Path(server.target.path).exists()
