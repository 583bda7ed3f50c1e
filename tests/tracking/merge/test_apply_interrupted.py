"""A merge that is killed, a base that is lost or damaged, a store that was replaced."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from remote.errors import StoreError
from remote.tracking import merge

MERGE = """
import sys
from pathlib import Path
from remote.tracking import merge
from remote.tracking.merge import apply, stage
stage.ROWS, apply.BATCH = 500, 3   # many short transactions, so that a kill falls between two
delta, root, base = map(Path, sys.argv[1:])
def part(done, total):
    print("part", flush=True)
part(0, 0)
merge.merge(
    delta,
    store=root / "mlflow.db",
    artifact_root=root / "mlruns",
    base=base,
    source="far",
    progress=part,
)
"""


def many_runs(project, runs=30, points=400):
    """Written by SQL: it is the amount that matters."""
    experiment = project.experiment("digits")
    first = project.run(experiment)
    for number in range(1, runs):
        name = f"{number:032x}"
        project.sql(
            "INSERT INTO runs SELECT ?, name, source_type, source_name, entry_point_name, user_id,"
            " status, start_time, end_time, source_version, lifecycle_stage,"
            " replace(artifact_uri, ?, ?), experiment_id, deleted_time FROM runs"
            " WHERE run_uuid = ?",
            name,
            first,
            name,
            first,
        )
        project.sql(
            "INSERT INTO tags SELECT key, value, ? FROM tags WHERE run_uuid = ?", name, first
        )
        project.sql(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
            " SELECT 'loss', i * 0.5, i, ?, i, 0 FROM n",
            points - 1,
            name,
        )
    return first


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_killed_anywhere_the_next_pull_does_the_rest(world, journal):
    many_runs(world.far)
    world.here.sql(f"PRAGMA journal_mode = {journal}")
    base = world.base()
    seen = set()
    for attempt in range(32):
        file = world.delta()
        argv = [sys.executable, "-c", MERGE, str(file), str(world.here.root), str(base)]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, cwd=merge.__path__[0] + "/../.."
        ) as job:
            assert job.stdout is not None and job.stdout.readline() == b"part\n"
            # Between two parts, or a little later, in the middle of one.
            for _ in range(attempt):
                job.stdout.readline()
            time.sleep(0.001 * (attempt % 5))
            job.kill()
        seen.add(world.here.one("SELECT count(*) FROM runs") * 1000 + metric_count(world.here))
        assert world.here.broken_links() == []
        if job.returncode == 0:
            break
    assert len(seen) > 2, "no kill fell into the middle of a merge"
    world.pull()
    assert metric_count(world.here) == 3 + 29 * 400
    for table in ("metrics", "tags", "params", "latest_metrics"):
        query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        assert world.here.sql(query) == world.far.sql(query)
    before = world.here.dump()
    assert world.pull().run_ids == () and world.here.dump() == before


def test_what_a_commit_left_that_was_killed_as_it_made_a_base_goes(world):
    """The transaction that looks has a journal of the base's again."""
    left = world.here.root / "mlflow.db-mj6F2988982"
    left.write_bytes(bytes(world.base()) + b"-journal\0")
    world.far.run(world.far.experiment("digits"))
    assert len(world.pull().run_ids) == 1 and not left.exists()


def test_what_a_broken_merge_took_and_was_undone_there_is_undone_here(world, monkeypatch):
    run_id = world.far.run(world.far.experiment("digits"))
    colours = []
    for colour in ("red", "blue", "red"):
        world.far.client.set_tag(run_id, "colour", colour)
        with monkeypatch.context() as broken:
            if colour == "blue":
                broken.delattr("remote.tracking.merge.stage.append_rows")
            with suppress(AttributeError):
                world.pull()
        colours.append(world.here.client.get_run(run_id).data.tags["colour"])
    assert colours == ["red", "blue", "red"]


def metric_count(project):
    return project.one("SELECT count(*) FROM metrics")


def test_a_lost_base_undoes_nothing_of_ours(world):
    run_id = world.far.run(world.far.experiment("digits"))
    running = world.far.run("1", end=None)
    world.pull()
    world.here.client.set_tag(run_id, "colour", "blue")
    world.here.client.update_run(run_id, name="mine")
    world.here.client.delete_run(run_id)
    world.far.log(running, range(3, 6))
    world.far.client.set_terminated(running, "FINISHED", end_time=9)
    world.lose_base()

    summary = world.pull()

    run = world.here.client.get_run(run_id)
    assert (run.info.run_name, run.info.lifecycle_stage) == ("mine", "deleted")
    assert run.data.tags["colour"] == "blue"
    assert {(c.table, c.column) for c in summary.conflicts} == {
        ("runs", "name"),
        ("runs", "lifecycle_stage"),
        ("runs", "deleted_time"),
        ("tags", "value"),
    }
    assert len(world.here.client.get_metric_history(running, "loss")) == 6
    assert world.here.client.get_run(running).info.status == "FINISHED"
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 1, 3)
    assert world.pull().conflicts == ()


def test_with_the_base_lost_artifacts_still_go_where_the_run_is(world):
    """Its experiment was renamed here, so that another is made for the name there."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.client.rename_experiment("1", "numbers")
    world.lose_base()
    (folder,) = world.pull().artifacts
    assert folder.local == f"mlruns/1/{run_id}/artifacts"
    assert world.here.client.get_run(run_id).info.experiment_id == "1"


@pytest.mark.parametrize("damage", ["text", "empty", "flipped", "cut", "zeroed"])
def test_a_damaged_base_is_set_aside_and_made_anew(world, damage):
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.client.set_tag(run_id, "colour", "blue")
    before = merge.pull_state(world.base(), store=world.here.store)
    content = world.base().read_bytes()
    world.base().write_bytes(
        {
            "text": b"this is no database" * 100,
            "empty": b"",
            "flipped": content[:4096] + bytes(255 - byte for byte in content[4096:]),
            "cut": content[: len(content) // 2],
            "zeroed": content[:-4096] + bytes(4096),
        }[damage]
    )
    assert merge.pull_state(world.base(), store=world.here.store) == before
    world.pull()
    assert world.here.client.get_run(run_id).data.tags["colour"] == "blue"
    assert merge.pull_state(world.base(), store=world.here.store)["signatures"]["run"].keys() == {
        run_id
    }
    assert world.base().with_name(world.base().name + ".damaged").exists()


def test_a_store_that_was_replaced_here_gets_everything_again(world):
    """Else all that was pulled would count as deleted here."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    anew = world.project("anew")
    shutil.copy(anew.store, world.here.store)
    assert world.pull().new_runs == 1
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 3


def test_a_delta_that_does_not_follow_the_base_is_refused(world):
    world.far.run(world.far.experiment("digits"))
    world.pull()
    stale = world.delta()
    kept = stale.with_name("stale")
    stale.rename(kept)
    run_id = world.far.run("1")
    world.pull()
    before = world.here.dump()
    with pytest.raises(StoreError, match="doesn't continue"):
        world.apply(kept)
    assert world.here.dump() == before
    assert run_id in merge.pull_state(world.base(), store=world.here.store)["signatures"]["run"]


def test_another_targets_base_is_refused(world):
    world.far.run(world.far.experiment("digits"))
    world.pull()
    with pytest.raises(StoreError, match="belongs to far.*\n.*base.db away"):
        merge.merge(
            world.delta(),
            store=world.here.store,
            artifact_root=world.here.mlruns,
            base=world.base(),
            source="another",
        )


def test_a_first_merge_that_was_killed_before_it_wrote_leaves_no_damaged_base(world):
    run_id = world.far.run(world.far.experiment("digits"))
    world.base().parent.mkdir(parents=True, exist_ok=True)
    world.base().write_bytes(b"")
    world.pull()
    assert world.here.client.get_run(run_id)
    assert not list(world.base().parent.glob("*.damaged"))
