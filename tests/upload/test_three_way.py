"""What was changed on the server stays, what changed at the source arrives."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from remote import upload
from remote.errors import StoreError
from remote.tracking.merge.summary import Conflict
from remote.upload.fields import Change, Known, three_way
from tests.upload.conftest import Far

CASES = {
    "new at the source": ({"tag:a": "1"}, {}, {}, Change(write={"tag:a": "1"})),
    "the same": ({"tag:a": "1"}, {"tag:a": "1"}, {}, Change()),
    "changed at the source": (
        {"tag:a": "2"},
        {"tag:a": "1"},
        {"tag:a": Known(("1",))},
        Change(write={"tag:a": "2"}),
    ),
    "changed on the server": ({"tag:a": "1"}, {"tag:a": "2"}, {"tag:a": Known(("1",))}, Change()),
    "changed on both": (
        {"tag:a": "2"},
        {"tag:a": "3"},
        {"tag:a": Known(("1",))},
        Change(conflicts=[("tag:a", "3", "2")]),
    ),
    "different, and nothing known": (
        {"tag:a": "2"},
        {"tag:a": "3"},
        {},
        Change(conflicts=[("tag:a", "3", "2")]),
    ),
    "removed on the server": ({"tag:a": "2"}, {}, {"tag:a": Known(("1",))}, Change()),
    "removed at the source": ({}, {"tag:a": "1"}, {"tag:a": Known(("1",))}, Change(drop=["tag:a"])),
    "removed at the source, changed on the server": (
        {},
        {"tag:a": "2"},
        {"tag:a": Known(("1",))},
        Change(conflicts=[("tag:a", "2", None)]),
    ),
    "stopped before it was written": (
        {"tag:a": "1"},
        {},
        {"tag:a": Known((), ("1",))},
        Change(write={"tag:a": "1"}),
    ),
    "stopped after it was written, then changed again": (
        {"tag:a": "3"},
        {"tag:a": "2"},
        {"tag:a": Known(("1",), ("2",))},
        Change(write={"tag:a": "3"}),
    ),
    "a parameter can't be changed": (
        {"param:a": "2"},
        {"param:a": "1"},
        {"param:a": Known(("1",))},
        Change(conflicts=[("param:a", "1", "2")]),
    ),
    "a parameter is never removed": ({}, {"param:a": "1"}, {"param:a": Known(("1",))}, Change()),
    "a running one gives way": (
        {"end": ["FINISHED", 5]},
        {"end": ["RUNNING", None]},
        {},
        Change(write={"end": ["FINISHED", 5]}),
    ),
    "an ended one doesn't": (
        {"end": ["FINISHED", 5]},
        {"end": ["KILLED", 4]},
        {},
        Change(conflicts=[("end", ["KILLED", 4], ["FINISHED", 5])]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule(name: str) -> None:
    theirs, ours, base, expected = CASES[name]
    assert three_way(theirs, ours, base, provisional={"end": "RUNNING"}) == expected


def test_each_side_keeps_its_changes(far: Far) -> None:
    client, there = far.project.client, far.there
    run = far.project.run(far.experiment)
    client.set_tag(run, "old", "1")
    far.push()
    ours = far.run_of(run).info.run_id

    there.set_tag(ours, "colour", "blue")
    there.set_tag(ours, "mlflow.note.content", "the best")
    client.set_tag(run, "size", "big")
    client.update_run(run, name="rainy")
    client.delete_tag(run, "old")
    summary = far.push()

    assert summary.conflicts == () and summary.grown_runs == 1
    after = there.get_run(ours)
    assert after.data.tags["colour"] == "blue" and after.data.tags["size"] == "big"
    assert after.data.tags["mlflow.note.content"] == "the best" and "old" not in after.data.tags
    assert after.info.run_name == "rainy"


def test_a_conflict_keeps_the_servers_and_is_told_once(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.push()
    ours = far.run_of(run).info.run_id
    far.there.set_tag(ours, "colour", "blue")
    far.there.update_run(ours, name="cloudy")
    far.project.client.set_tag(run, "colour", "green")
    far.project.client.update_run(run, name="rainy")
    far.project.client.set_terminated(run, "FAILED", end_time=3_000_000)

    summary = far.push()

    assert set(summary.conflicts) == {
        Conflict("tags", f"{run}/colour", "value", "blue", "green"),
        Conflict("runs", run, "name", "cloudy", "rainy"),
    }
    after = far.there.get_run(ours)
    assert (after.info.run_name, after.data.tags["colour"]) == ("cloudy", "blue")
    assert after.info.status == "FAILED"
    assert far.push().conflicts == ()


def test_a_tag_removed_on_the_server_stays_removed(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.push()
    ours = far.run_of(run).info.run_id
    far.there.delete_tag(ours, "colour")
    far.project.client.set_tag(run, "size", "big")

    far.push()

    assert "colour" not in far.there.get_run(ours).data.tags


def test_a_run_deleted_on_the_server_stays_deleted_until_it_is_restored_there(far: Far) -> None:
    run = far.project.run(far.experiment, end=None)
    far.push()
    ours = far.run_of(run).info.run_id
    far.there.delete_run(ours)
    far.project.log(run, range(3, 8))
    far.project.client.set_tag(run, "size", "big")

    summary = far.push()

    (refusal,) = summary.refused
    assert (refusal.kind, refusal.id) == ("run", run) and "deleted on the server" in refusal.reason
    assert far.there.get_run(ours).info.lifecycle_stage == "deleted"
    far.there.restore_run(ours)
    far.push()
    far.push()
    assert far.there.get_run(ours).data.tags["size"] == "big"
    assert len(far.there.get_metric_history(ours, "loss")) == 8


def test_a_run_that_the_server_has_deleted_for_good_isnt_made_again(
    far: Far, writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = far.project.run(far.experiment)
    far.push()
    ours = far.run_of(run).info.run_id
    far.project.client.set_tag(run, "size", "big")
    with_lost_runs(monkeypatch, ours)
    writes.clear()

    for _ in range(2):
        summary = far.push()
        assert (summary.new_runs, summary.refused) == (0, ())
        far.project.log(run, range(3, 5))
    assert writes == []


def with_lost_runs(monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    """As after `mlflow gc`, which the server's own database is needed for."""
    from remote.upload.answers import Rejected
    from remote.upload.server import Server

    get = Server.get

    def without(self: Server, path: str, **query: str) -> object:
        if query.get("run_id") == run:
            raise Rejected("gone", "RESOURCE_DOES_NOT_EXIST", 404)
        return get(self, path, **query)

    monkeypatch.setattr(Server, "get", without)


def test_with_the_base_lost_nothing_is_doubled_or_undone(far: Far) -> None:
    runs = [far.project.run(far.experiment) for _ in range(3)]
    far.push()
    ours = far.run_of(runs[0]).info.run_id
    far.there.set_tag(ours, "colour", "blue")
    far.there.delete_run(far.run_of(runs[2]).info.run_id)
    far.base.unlink()
    new = far.project.run(far.experiment)
    far.project.client.set_tag(runs[1], "size", "big")

    summary = far.push()

    assert summary.new_runs == 1 and len(far.runs()) == 4
    assert far.run_of(new).data.params == {"lr": "0.1"}
    assert far.there.get_run(ours).data.tags["colour"] == "blue"
    assert far.run_of(runs[1]).data.tags["size"] == "big"
    assert [each.column for each in summary.conflicts] == ["value"]
    assert len(far.runs(view=2)) == 1
    assert len(far.there.get_metric_history(ours, "loss")) == 3


def test_a_run_that_two_sources_have_is_made_once(far: Far) -> None:
    """The other source was uploaded before, so that not everything is looked for."""
    run = far.project.run(far.experiment)
    far.push()
    shutil.copy(far.project.store, far.folder / "kept.db")
    far.project.hard_delete(run)
    far.name, far.base = "other", far.base.with_name("other.db")
    far.push()
    shutil.copy(far.folder / "kept.db", far.project.store)

    summary = far.push()

    assert (summary.new_runs, summary.conflicts) == (0, ())
    assert len(far.runs()) == 1


def test_a_base_of_another_server_is_moved_away(far: Far) -> None:
    """One that was made anew behind the same address."""
    far.project.run(far.experiment)
    far.push()
    with sqlite3.connect(far.base) as database:
        database.execute("UPDATE meta SET value = '\"created 1\"' WHERE key = 'server'")
    database.close()

    assert upload.known(far.base, address=far.address) == {}
    assert far.push().new_runs == 0
    assert far.base.with_name("base.db.damaged").exists()


def test_a_base_of_another_source_is_refused(far: Far) -> None:
    far.push()
    far.name = "another"
    with pytest.raises(StoreError, match="belongs to"):
        far.push()


def test_a_damaged_base_is_moved_away(far: Far) -> None:
    far.project.run(far.experiment)
    far.push()
    far.base.write_bytes(b"no database" * 1000)

    assert far.push().new_runs == 0
    assert far.base.with_name("base.db.damaged").exists()
