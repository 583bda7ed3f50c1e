"""A laptop and some servers: each step is done to the model and to the real store."""

from __future__ import annotations

import contextlib
import copy
import itertools
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from remote.errors import StoreError
from remote.tracking import delta, merge
from remote.tracking.merge import apply, incoming, stage
from remote.tracking.merge.conflicts import open_conflicts
from remote.tracking.merge.merge_session import MergeSession
from tests.tracking.merge.histories.model import Experiment, Store
from tests.tracking.merge.histories.records import Records
from tests.tracking.merge.histories.rule import Base, Conflict, Delta, Pull


class Crash(Exception):
    """What ends a merge in the middle."""


@dataclass
class Place:
    """One store, and what it should be."""

    name: str
    records: Records
    model: Store

    def do(self, what: str, *arguments: Any) -> None:
        getattr(self.records, what)(*arguments)
        getattr(self.model, what)(*arguments)

    def check(self) -> None:
        expected, found = readable(self.model), readable(self.records.read())
        assert found == expected, f"{self.name}: {_differences(found, expected)}"
        assert self.records.sql("PRAGMA foreign_key_check") == []


@dataclass
class Written:
    """A delta on its way: the file, and what should be in it."""

    place: Place
    file: Path
    model: Delta
    pulls: int
    """Which pull from there was the last when it was written."""
    full: bool
    """It was written without a base, so it fits at any time."""


class World:
    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self.template = folder, template
        self._clock, self._files, self._pulls = (itertools.count(start) for start in (10**6, 0, 1))
        self.here = self._make("here")
        self.far: list[Place] = []
        self.bases: dict[str, Base] = {}
        self.pulls: dict[str, int] = {}
        self.copies: dict[str, tuple[Base, int]] = {}
        """The base and the number of the last pull, as of one that came to its end."""
        self.add_remote()

    def now(self) -> int:
        return next(self._clock)

    def close(self) -> None:
        for place in (self.here, *self.far):
            place.records.close()
        shutil.rmtree(self.folder)

    @property
    def places(self) -> list[Place]:
        return [self.here, *self.far]

    def _make(self, name: str) -> Place:
        now = self.now()
        default = {"name": "Default", "lifecycle_stage": "active"}
        first = Experiment({**default, "creation_time": now, "last_update_time": now})
        records = Records(self.folder / name, self.template, now)
        return Place(name, records, Store({first.number: first}))

    def add_remote(self) -> Place:
        place = self._make(f"far{len(self.far) + 1}")
        self.far.append(place)
        self.bases[place.name], self.pulls[place.name] = Base(), 0
        return place

    def copy_remote(self, original: Place) -> None:
        """A new server starts from a copy of the store of another."""
        place = self.add_remote()
        later = 1_000_000 * len(self.far)
        place.records.become(original.records, later)
        place.model = original.model.copy()
        for experiment in place.model.experiments.values():
            experiment.fields["creation_time"] += later

    # Pulling.

    def base_file(self, place: Place) -> Path:
        return self.bases_folder / f"base-{place.name}.db"

    @property
    def bases_folder(self) -> Path:
        return self.here.records.root / ".remote"

    def lose_base(self, place: Place, *, copy_too: bool) -> None:
        """The merge keeps a copy; with both lost, nothing is known of what was pulled."""
        if place.name not in self.copies:
            copy_too = True
        for file in self.base_file(place).parent.glob(f"base-{place.name}.db*"):
            if copy_too or not file.name.endswith(".copy"):
                file.unlink()
        if copy_too:
            self.bases[place.name], self.pulls[place.name] = Base(), next(self._pulls)
            self.copies.pop(place.name, None)
        else:
            base, self.pulls[place.name] = self.copies[place.name]
            self.bases[place.name] = copy.deepcopy(base)

    def write(self, place: Place) -> Written:
        known = self._known(place)
        file = self.folder / f"{next(self._files)}.delta"
        delta.write(place.records.file, file, known)
        model = Delta.of(place.model, self.bases[place.name])
        with closing(sqlite3.connect(file)) as database:
            sent = {row[0] for row in database.execute("SELECT id FROM entities WHERE kind='run'")}
        assert model.runs <= sent, "a changed run isn't in the delta"
        return Written(place, file, model, self.pulls[place.name], known == {})

    def interrupt_write(self, place: Place, after: int) -> None:
        """The agent is stopped; what it left is no delta, and merging it changes nothing."""
        file = self.folder / f"{next(self._files)}.delta"
        known, steps = self._known(place), itertools.count()
        before = self.here.records.file.read_bytes()
        with mock.patch.object(delta.sqlite3, "connect", _stopping(steps, after)):
            with contextlib.suppress(StoreError):
                delta.write(place.records.file, file, known)
                return
        if file.exists():
            try:
                self._merge(Written(place, file, Delta(Store(), set(), set(), set(), {}), 0, True))
            except StoreError:
                pass
            else:
                raise AssertionError("half a delta was merged")
        assert self.here.records.file.read_bytes() == before

    def pull(self, place: Place, *, again: bool = False) -> None:
        self.apply(self.write(place))
        if again:
            self._check_nothing_new(place)

    def apply(self, written: Written) -> None:
        """Merges; a delta that other pulls have overtaken is refused, and changes nothing."""
        place = written.place
        before = self.here.records.file.read_bytes()
        try:
            summary = self._merge(written)
        except StoreError as error:
            assert "doesn't continue" in error.message, error
            assert written.pulls != self.pulls[place.name]
            assert self.here.records.file.read_bytes() == before
            return
        pull = Pull(self.here.model, written.model, self.bases[place.name], place.name)
        pull.whole()
        self._take_the_unsure(pull)
        self.here.check()
        assert self._told(summary) == self._expected(pull)
        assert summary.new_runs == len(pull.new_runs)
        assert summary.refused == ()
        self._check_artifacts(written, summary)
        self._ended(pull)
        merge.mark_fetched(self.base_file(place), summary.artifacts)

    def crash(self, place: Place, commits: int) -> None:
        """A merge that ends after some commits. What it did, it did wholly."""
        written = self.write(place)
        known = self._known(place)
        done = itertools.count()

        @contextmanager
        def transaction(session: MergeSession) -> Iterator[None]:
            if next(done) >= commits:
                raise Crash
            with original(session):
                yield

        original = MergeSession.transaction
        with mock.patch.object(MergeSession, "transaction", transaction):
            try:
                self._merge(written)
            except Crash:
                pass
            else:
                self._finish_uncrashed(written)
                return
        self._follow(written, known)

    def _finish_uncrashed(self, written: Written) -> None:
        """There was nothing to interrupt so late."""
        name = written.place.name
        pull = Pull(self.here.model, written.model, self.bases[name], name)
        pull.whole()
        self._take_the_unsure(pull)
        self.here.check()
        self._ended(pull)

    def _ended(self, pull: Pull) -> None:
        # Never the same number twice, though a base that was put back goes back to its own.
        self.pulls[pull.source] = next(self._pulls)
        self.copies[pull.source] = copy.deepcopy(pull.base), self.pulls[pull.source]
        self._check_noted(pull)

    def _check_noted(self, pull: Pull) -> None:
        """A conflict stays listed, wherever the merge was stopped after it."""
        if not pull.conflicts:
            return
        base = self.bases_folder / f"base-{pull.source}.db"
        noted = [each.conflict for each in open_conflicts(base, self.here.records.file)]
        ids = self._ids()
        listed = {_named((c.table, c.key, c.column, c.ours, c.theirs), ids) for c in noted}
        assert set(self._expected(pull)) <= listed

    def _follow(self, written: Written, before: dict[str, Any]) -> None:
        """Does in the model the parts that were done: what is known says which."""
        place = written.place
        pull = Pull(self.here.model, written.model, self.bases[place.name], place.name)
        arrived = _newly_known(written.file, before, self._known(place))
        # One that was deleted here comes back for a new run though it didn't change there.
        back = set(self.here.records.read().names) != set(self.here.model.names)
        if arrived["experiment"] or arrived["run"] or back:
            pull.experiments()
        for run_id in arrived["run"]:
            pull.run(run_id)
        self._take_what_came(pull)
        self.here.check()
        self._check_noted(pull)
        self.pulls[place.name] = next(self._pulls)

    def _take_what_came(self, pull: Pull) -> None:
        """Of the metrics some may be here already, and none that isn't there."""
        found = self.here.records.read()
        for run_id, run in self.here.model.runs.items():
            if run_id in found.runs and run_id in pull.delta.theirs.runs:
                new = found.runs[run_id].metrics - run.metrics
                assert new <= pull.delta.theirs.runs[run_id].metrics
                run.metrics |= new

    def _take_the_unsure(self, pull: Pull) -> None:
        found = self.here.records.read()
        for run_id, points in pull.unsure.items():
            if run_id in found.runs:
                self.here.model.runs[run_id].metrics |= found.runs[run_id].metrics & points

    def _check_nothing_new(self, place: Place) -> None:
        before = self.here.records.file.read_bytes()
        self.apply(self.write(place))
        assert self.here.records.file.read_bytes() == before, "pulled twice, changed twice"

    def _check_artifacts(self, written: Written, summary: merge.MergeSummary) -> None:
        """What is new, changed or running is named, at the place where the run is."""
        named = {folder.local for folder in summary.artifacts}
        query = "SELECT run_uuid, experiment_id FROM runs"
        for run_id, experiment in self.here.records.sql(query):
            if run_id in written.model.runs:
                assert f"mlruns/{experiment}/{run_id}/artifacts" in named

    def _known(self, place: Place) -> dict[str, Any]:
        return merge.pull_state(self.base_file(place), store=self.here.records.file)

    def _merge(self, written: Written) -> merge.MergeSummary:
        return merge.merge(
            written.file,
            store=self.here.records.file,
            artifact_root=self.here.records.mlruns,
            base=self.base_file(written.place),
            source=written.place.name,
            # These servers are copies of each other, and hold each other's runs: whose a run is
            # has tests of its own (tests/security/test_hostile_stores.py).
            theirs=True,
        )

    def _told(self, summary: merge.MergeSummary) -> list[Conflict]:
        ids = self._ids()
        found = [(c.table, c.key, c.column, c.ours, c.theirs) for c in summary.conflicts]
        return sorted((_named(conflict, ids) for conflict in found), key=repr)

    def _ids(self) -> dict[str, str]:
        found = self.here.records.read().experiments
        return {str(key): each.name for key, each in found.items()}

    def _expected(self, pull: Pull) -> list[Conflict]:
        names = {str(key): each.name for key, each in self.here.model.experiments.items()}
        return sorted((_named(conflict, names) for conflict in pull.conflicts), key=repr)


@contextmanager
def parts(size: int) -> Iterator[None]:
    """Merges in many small transactions, and as if few added rows were many."""
    with mock.patch.object(apply, "BATCH", size), mock.patch.object(stage, "ROWS", size):
        with mock.patch.object(incoming, "FEW", size):
            yield


def readable(store: Store) -> dict[object, object]:
    """Everything, under names that mean the same in the model and in the file."""
    names = {key: each.name for key, each in store.experiments.items()}
    found: dict[object, object] = {
        ("experiment", each.name): (each.fields, each.tags) for each in store.experiments.values()
    }
    for key, run in store.runs.items():
        values = (names[run.experiment], run.fields, run.tags, run.params, run.latest)
        found["run", key], found["metrics", key] = values, run.metrics
    return found


def _differences(found: dict[object, object], expected: dict[object, object]) -> str:
    lines = [
        f"\n  {key}\n    is        {found.get(key)}\n    should be {expected.get(key)}"
        for key in sorted({*found, *expected}, key=repr)
        if found.get(key) != expected.get(key)
    ]
    return "".join(lines)


def _named(conflict: Conflict, names: dict[str, str]) -> Conflict:
    """An experiment by its name."""
    table, key, *rest = conflict
    if table.startswith("experiment"):
        number, _, tag = str(key).partition("/")
        key = f"{names[number]}/{tag}"
    return (table, key, *rest)  # type: ignore[return-value]


def _newly_known(file: Path, before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[str]]:
    """The things of the delta whose signature is known only now."""
    found: dict[str, list[str]] = {"experiment": [], "run": []}
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT kind, id, signature FROM entities").fetchall()
    for kind, identity, signature in rows:
        was, now = (
            known.get("signatures", {}).get(kind, {}).get(str(identity))
            for known in (before, after)
        )
        if kind in found and now == signature != was:
            found[kind].append(str(identity))
    return found


def _stopping(steps: Iterator[int], after: int) -> Any:
    """sqlite3.connect, whose connections stop after some work."""
    connect = sqlite3.connect

    def stopping(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database = connect(*arguments, **options)
        database.set_progress_handler(lambda: int(next(steps) >= after), 20)
        return database

    return stopping
