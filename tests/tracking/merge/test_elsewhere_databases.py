"""What only other databases do: limits, keys that count as the same, commits of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from remote.errors import StoreError
from remote.tracking import delta, merge
from remote.tracking.merge import apply
from remote.tracking.merge.elsewhere.database import Database
from remote.tracking.merge.elsewhere.writing import Elsewhere as Store
from remote.tracking.merge.local_store import open_ours
from tests.tracking.merge.databases import Elsewhere, address_of
from tests.tracking.merge.test_artifact_paths import forged
from tests.tracking.merge.test_interrupted import many_runs
from tests.tracking.merge.test_traces import trace, tracking  # noqa: F401

MERGE = """
import sys
from pathlib import Path
from remote import merge
from remote.tracking.merge import append, apply
from remote.tracking.merge.elsewhere.writing import Elsewhere
append.ROWS, apply.BATCH = 500, 3   # many short transactions
delta, root, base, address, commits = sys.argv[1:]
commit, done = Elsewhere.commit, 0
def counted(self):
    global done
    if done == int(commits):
        print("now", flush=True)
        sys.stdin.read()   # killed here, in the middle of a transaction
    done += 1
    commit(self)
Elsewhere.commit = counted
merge.merge(Path(delta), store=address, artifact_root=Path(root), base=Path(base), source="far")
"""


@pytest.fixture(params=["postgresql", "mariadb"])
def world(request, tmp_path, template):
    made = Elsewhere(tmp_path / "w", template, address_of(request.param, request.config))
    yield made
    made.close()


@pytest.fixture
def only(world, request):
    """Skips a test that isn't about this database."""

    def check(kind):
        if world.here.is_mysql != (kind == "mariadb"):
            pytest.skip(f"of {kind} only")

    return check


def refused(summary):
    return [(each.kind, each.id) for each in summary.refused]


def test_mlflow_goes_on_working_with_what_came(world):
    run_id = world.far.run(world.far.experiment("digits"), end=None)
    world.pull()
    client = world.here.client
    assert client.create_experiment("mine") == "2"
    mine = world.here.run("2")
    world.here.log(run_id, range(50, 52))
    client.set_terminated(run_id, "FINISHED")
    assert len(client.get_metric_history(run_id, "loss")) == 5
    world.far.experiment("letters")
    world.pull()
    assert client.get_experiment_by_name("letters").experiment_id == "3"
    assert client.create_experiment("more") == "4"
    assert client.get_run(mine).data.metrics == {"loss": 1 / 3}


@pytest.mark.parametrize("commits", [0, 1, 3, 9, 15])
def test_killed_in_the_middle_the_next_pull_does_the_rest(world, commits):
    many_runs(world.far, runs=12, points=300)
    argv = [sys.executable, "-c", MERGE, str(world.delta()), str(world.here.mlruns)]
    argv += [str(world.base()), world.address, str(commits)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=merge.__path__[0] + "/../.."
    ) as job:
        assert job.stdout is not None and job.stdout.readline() == b"now\n"
        job.send_signal(signal.SIGKILL)
    done = world.here.one("SELECT count(*) FROM runs")
    assert done == max(0, min(12, (commits - 2) * 3))
    world.pull()
    for table in ("metrics", "tags", "params", "latest_metrics"):
        query = f"SELECT * FROM {table}"
        assert sorted(world.here.sql(query)) == sorted(world.far.sql(query))
    before = world.here.dump()
    assert world.pull().run_ids == () and world.here.dump() == before


class Stopped(Exception):
    """The end of the machine."""


class LostAtCommit:
    """The connection to the base, with which the machine stops."""

    def __init__(self, database):
        self.database = database

    def execute(self, query, *values):
        if query == "COMMIT":
            raise Stopped
        return self.database.execute(query, *values)


def test_a_base_that_lags_behind_is_made_good(world, monkeypatch):
    """The machine stops after the database has committed, before the base has."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.client.set_tag(run_id, "mine", "1")
    world.far.client.set_tag(run_id, "colour", "green")
    second = world.far.run("1")
    original = Store.commit

    def commit(self):
        arrived = "SELECT 1 FROM main.runs WHERE run_uuid = ?"
        if not self.database.execute(arrived, (second,)).fetchone():
            return original(self)
        database, self.database = self.database, LostAtCommit(self.database)
        try:
            original(self)
        finally:
            self.database = database

    monkeypatch.setattr(Store, "commit", commit)
    with pytest.raises(Stopped):
        world.pull()
    monkeypatch.undo()
    assert world.here.client.get_run(second).data.params == {"lr": "0.1"}  # it is there already
    assert second not in merge.known(world.base())["signatures"]["run"]
    assert world.pull().conflicts == ()
    assert world.here.client.get_run(run_id).data.tags["colour"] == "green"
    assert world.here.client.get_run(run_id).data.tags["mine"] == "1"
    assert len(world.here.client.get_metric_history(second, "loss")) == 3
    before = world.here.dump()
    assert world.pull().conflicts == () and world.here.dump() == before


DEADLOCKS = {
    False: "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$",
    True: "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
}
"""By whether it is MySQL: they fail as a deadlock does."""


@pytest.mark.parametrize("times", [2, 100])
def test_after_a_deadlock_the_merge_is_done_again(world, monkeypatch, times):
    world.far.run(world.far.experiment("digits"))
    original, seen = Store.commit, []

    def commit(self):
        if self.database.execute("SELECT 1 FROM main.runs").fetchone() and len(seen) < times:
            seen.append(1)
            with self.there.connection.told():
                self.there.connection.made.exec_driver_sql(DEADLOCKS[world.here.is_mysql])
        original(self)

    monkeypatch.setattr(Store, "commit", commit)
    monkeypatch.setattr(apply.time, "sleep", lambda seconds: None)
    if times == 100:
        with pytest.raises(StoreError):
            world.pull()
        assert len(seen) == apply.ATTEMPTS
    else:
        summary = world.pull()
        assert (summary.new_experiments, summary.new_runs, summary.metric_rows) == (1, 1, 3)


def test_an_experiment_made_meanwhile_gets_in_nobodys_way(world, monkeypatch):
    """Its number was about to be ours: the merge is done again, and still counts all it did."""
    world.far.run(world.far.experiment("digits"))
    original, meanwhile = apply.place_experiments, []

    def place(session):
        placed = original(session)
        if not meanwhile:
            meanwhile.append(world.here.client.create_experiment("meanwhile"))
        return placed

    monkeypatch.setattr(apply, "place_experiments", place)
    summary = world.pull()
    assert meanwhile == ["1"]
    assert (summary.new_experiments, summary.new_runs, summary.metric_rows) == (1, 1, 3)
    names = dict(world.here.sql("SELECT experiment_id, name FROM experiments"))
    assert names == {0: "Default", 1: "meanwhile", 2: "digits"}
    assert world.here.one("SELECT experiment_id FROM runs") == 2


def test_a_run_deleted_meanwhile_is_no_obstacle(world, monkeypatch):
    """Between its rows and its metrics; the counts are those of what was done."""
    first, second = (world.far.run(each) for each in [world.far.experiment("digits")] * 2)
    original, done = apply.append.append_rows, []

    def append_rows(session):
        if not done:
            done.append(1)
            world.here.hard_delete(first)
        original(session)

    monkeypatch.setattr(apply.append, "append_rows", append_rows)
    summary = world.pull()
    assert world.here.sql("SELECT run_uuid FROM runs") == [(second,)]
    assert (summary.new_runs, summary.metric_rows) == (2, 3)


def test_others_that_change_a_row_wait_for_the_merge(world, monkeypatch):
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.far.client.set_tag(run_id, "colour", "green")
    original, threads = apply._merge_table, []

    def merge_table(session, table):
        original(session, table)
        if table.name == "tags" and not threads:
            client = world.here.client
            blue = threading.Thread(target=client.set_tag, args=(run_id, "colour", "blue"))
            threads.append(blue)
            blue.start()
            blue.join(0.5)
            assert blue.is_alive()

    monkeypatch.setattr(apply, "_merge_table", merge_table)
    assert world.pull().conflicts == ()
    threads[0].join(30)
    assert world.here.client.get_run(run_id).data.tags["colour"] == "blue"


def test_a_value_with_no_room_leaves_its_run_out_and_says_why(world):
    experiment = world.far.experiment("digits")
    good, bad = world.far.run(experiment), world.far.run(experiment)
    world.far.sql("UPDATE tags SET value = ? WHERE run_uuid = ?", "x" * 8001, bad)
    for _ in range(2):
        dry = world.apply(world.delta(), dry_run=True)
        summary = world.pull()
        assert refused(summary) == refused(dry) == [("run", bad)]
        assert "tags.value: 8001 characters, there is room for 8000" == summary.refused[0].reason
    for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
        assert world.here.sql(f"SELECT DISTINCT run_uuid FROM {table}") == [(good,)]
    world.far.sql("UPDATE tags SET value = ? WHERE run_uuid = ?", "y" * 8000, bad)
    world.pull()
    assert world.pull().refused == ()
    assert len(world.here.client.get_metric_history(bad, "loss")) == 3
    assert world.here.client.get_run(bad).data.tags["colour"] == "y" * 8000


def test_an_experiments_tag_with_no_room_stays_as_it_was(world, only):
    only("mariadb")
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.client.set_experiment_tag("1", "note", "short")
    world.pull()
    world.far.sql("UPDATE experiment_tags SET value = ?", "x" * 2**24)
    world.far.client.rename_experiment("1", "numbers")
    for _ in range(2):
        assert refused(world.pull()) == [("experiment", "1")]
    assert world.here.client.get_experiment("1").tags == {"note": "short"}
    assert world.here.client.get_experiment("1").name == "numbers"
    assert world.here.client.get_run(run_id).info.experiment_id == "1"


def test_a_new_experiment_with_no_room_is_left_out_with_its_runs(world):
    world.far.sql(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
        " creation_time) VALUES (1, ?, ?, 'active', 5)",
        "x" * 257,
        f"{world.far.mlruns}/1",
    )
    run_id, good = world.far.run("1"), world.far.run("0")
    for _ in range(2):
        assert refused(world.pull()) == [("experiment", "1"), ("run", run_id)]
    assert world.here.sql("SELECT run_uuid FROM runs") == [(good,)]
    world.far.sql("UPDATE experiments SET name = 'short' WHERE experiment_id = 1")
    world.pull()
    assert world.pull().refused == ()
    assert world.here.client.get_run(run_id).info.experiment_id == "1"


def test_what_only_the_database_refuses(world):
    """A status of a later MLflow: nothing but its CHECK knows."""
    experiment = world.far.experiment("digits")
    good, bad = world.far.run(experiment), world.far.run(experiment)
    file = forged(world, f"UPDATE runs SET status = 'QUEUED' WHERE run_uuid = '{bad}'")
    summary = world.apply(file)
    assert refused(summary) == [("run", bad)] and "runs: " in summary.refused[0].reason
    assert (summary.new_runs, summary.metric_rows) == (1, 3)
    assert world.here.sql("SELECT DISTINCT run_uuid FROM metrics") == [(good,)]


def test_a_measurement_that_the_database_refuses_is_left_out_alone(world):
    run_id = world.far.run(world.far.experiment("digits"), steps=30)
    world.far.sql("UPDATE metrics SET key = ? WHERE step = 7", "k" * 251)
    summary = world.pull()
    assert [each.kind for each in summary.refused] == ["metrics"]
    assert world.here.one("SELECT count(*) FROM metrics") == 29
    assert run_id in summary.refused[0].id


def test_text_that_postgresql_cannot_hold(world, only):
    only("postgresql")
    bad = world.far.run(world.far.experiment("digits"))
    world.far.sql("UPDATE tags SET value = 'a' || char(0) || 'b' WHERE key = 'colour'")
    summary = world.pull()
    assert refused(summary) == [("run", bad)]
    assert summary.refused[0].reason == "tags.value: it has a NUL character"
    not_utf8 = "UPDATE tags SET value = CAST(x'ff41' AS TEXT) WHERE key = 'colour'"
    summary = world.apply(forged(world, not_utf8))
    assert "characters that the database doesn't know" in summary.refused[0].reason


@pytest.mark.parametrize(
    "text", ["日本 🎉 é", "back\\slash 'quote' \"double\" %s %(x)s :y {z}", "  "]
)
def test_any_text_arrives_as_it_is(world, text):
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.client.set_tag(run_id, "colour", text)
    for _ in range(2):
        world.pull()
        assert world.here.client.get_run(run_id).data.tags["colour"] == text


def test_keys_that_mysql_takes_for_the_same_are_told(world, only):
    only("mariadb")
    run_id = world.far.run(world.far.experiment("digits"))
    for name in ("LR", "depth"):
        world.far.client.log_param(run_id, name, "7")
    world.far.client.log_metric(run_id, "LOSS", 1.0, timestamp=5000, step=0)
    summary = world.pull()
    assert sorted(each.kind for each in summary.refused) == ["latest_metrics", "metrics", "params"]
    assert f"LR/{run_id}" in [each.id for each in summary.refused]
    params = world.here.client.get_run(run_id).data.params
    assert params == {"lr": "0.1", "depth": "7"}
    before = world.here.dump()
    world.pull()
    assert world.here.dump() == before


def test_experiments_that_mysql_takes_for_the_same_are_parted(world, only):
    only("mariadb")
    world.here.experiment("Digits")
    run_id = world.far.run(world.far.experiment("digits"))
    for _ in range(2):
        assert world.pull().refused == ()
    assert world.here.client.get_experiment("2").name == "digits (far)"
    assert world.here.client.get_run(run_id).info.experiment_id == "2"
    world.far.client.rename_experiment("1", "letters")
    world.pull()
    assert world.here.client.get_experiment("2").name == "letters"


def test_models_that_mysql_takes_for_the_same_are_told(world, only):
    only("mariadb")
    world.here.client.create_registered_model("Best")
    for name in ("best", "other"):
        world.far.client.create_registered_model(name, tags={"k": "v"})
    out = world.folder / "registry.delta"
    delta.write(world.far.store, out, {}, registry=True)
    assert refused(world.apply(out)) == [("registered_model", "best")]
    models = world.here.client.search_registered_models()
    assert sorted((each.name, each.tags == {}) for each in models) == [
        ("Best", True),
        ("other", False),
    ]


def records(world):
    """An evaluation data set there."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{world.far.store}")
    made = world.far.client.create_dataset("q", experiment_id=world.far.experiment("llm"))
    made.merge_records([{"inputs": {"q": "why?", "n": [1.5, None]}, "expectations": {"a": "b"}}])
    return made.dataset_id


def test_json_arrives_as_it_is(world):
    identity = records(world)
    query = "SELECT inputs, expectations, tags, source FROM evaluation_dataset_records"
    for _ in range(2):
        world.pull()
        assert world.here.sql(query) == world.far.sql(query)
    import mlflow

    mlflow.set_tracking_uri(world.address)
    (record,) = world.here.client.get_dataset(identity).records
    assert (record.inputs, record.expectations) == ({"q": "why?", "n": [1.5, None]}, {"a": "b"})


def test_json_that_the_database_wrote_anew_is_no_change(world, monkeypatch):
    """As MySQL does."""
    records(world)
    look = Database._look

    def rewriting(self):
        look(self)
        self.rewrites_json = (("evaluation_dataset_records", "inputs"),)

    monkeypatch.setattr(Database, "_look", rewriting)
    world.pull()
    (text,) = world.here.sql("SELECT inputs FROM evaluation_dataset_records")[0]
    anew = json.dumps(json.loads(text), indent=3, sort_keys=True)
    assert anew != text
    world.here.sql("UPDATE evaluation_dataset_records SET inputs = ?", anew)
    changed = '{"q": "because"}'
    world.far.sql("UPDATE evaluation_dataset_records SET expectations = ?", changed)
    assert world.pull().conflicts == ()
    assert world.here.sql("SELECT inputs, expectations FROM evaluation_dataset_records") == [
        (anew, changed)
    ]
    world.far.sql("UPDATE evaluation_dataset_records SET inputs = ?", changed)
    world.pull()
    assert world.here.one("SELECT inputs FROM evaluation_dataset_records") == changed


def test_numbers_arrive_to_the_last_bit(world):
    run_id = world.far.run(world.far.experiment("digits"))
    values = [1e308, 5e-324, 0.1 + 0.2, -1 / 3, 2.0**53 + 1, 123456789.123456789]
    for step, value in enumerate(values):
        world.far.client.log_metric(run_id, "exact", value, step=step)
    world.pull()
    query = "SELECT value FROM metrics WHERE key = 'exact' ORDER BY step"
    assert [value for (value,) in world.here.sql(query)] == values
    world.lose_base()
    assert (world.pull().metric_rows, world.pull().metric_rows) == (0, 0)


def test_rows_that_are_there_are_looked_for_one_by_one_where_few_are_asked_for(world):
    """A long run that grew by rows of which some are there."""
    run_id = world.far.run(world.far.experiment("digits"), steps=200)
    world.pull()
    world.far.log(run_id, range(200, 210))
    world.here.log(run_id, range(205, 220))
    assert world.pull().metric_rows == 5
    assert world.here.one("SELECT count(*) FROM metrics") == 220


def test_a_database_without_tables_is_refused(world):
    name = "empty"
    with world.here.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as made:
        made.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        made.exec_driver_sql(f"CREATE DATABASE {name}")
    address = world.address.replace("/mlflow?", f"/{name}?").replace("@", ":s3cret@")
    if world.here.is_mysql:
        address = address.replace(":s3cret", "")
    with pytest.raises(StoreError) as error:
        open_ours(address)
    assert "has no MLflow tables" in error.value.message and "mlflow db upgrade" in error.value.hint
    assert "s3cret" not in error.value.message + error.value.hint


def test_the_older_driver(world, only):
    only("postgresql")
    pytest.importorskip("psycopg2")
    world.address = world.address.replace("postgresql:", "postgresql+psycopg2:")
    experiment = world.far.experiment("llm")
    run_id, trace_id = world.far.run(experiment, steps=30), trace(world.far, experiment)
    world.pull()
    world.lose_base()
    world.here.log(run_id, range(40, 50))
    world.far.log(run_id, range(30, 45))
    world.far.client.set_trace_tag(trace_id, "colour", "green")
    assert world.pull().metric_rows == 10
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 50
    assert [span.name for span in world.here.client.get_trace(trace_id).data.spans] == [
        "ask",
        "model",
    ]


def test_two_laptops_pull_into_one_database_at_once(world, template):
    """The same runs, each with a base of its own."""
    many_runs(world.far, runs=12, points=300)
    bases = [world.folder / f"laptop-{number}" / "base.db" for number in range(2)]
    failures = []

    def pull(base):
        out = base.parent.with_suffix(".delta")
        delta.write(world.far.store, out, merge.known(base, store=world.address))
        try:
            merge.merge(
                out,
                store=world.address,
                artifact_root=world.here.mlruns,
                base=base,
                source="far",
            )
        except StoreError as error:
            failures.append(error.message)

    threads = [threading.Thread(target=pull, args=(base,)) for base in bases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for table in ("metrics", "tags", "params", "latest_metrics"):
        query = f"SELECT * FROM {table}"
        assert sorted(world.here.sql(query)) == sorted(world.far.sql(query))
    assert world.here.one("SELECT count(*) FROM experiments") == 2
