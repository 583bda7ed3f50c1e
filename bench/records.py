"""A million metric rows merged, against the other ways there are to bring them."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench import exporter
from bench.pulls import Memory, fill, make_target, pull, require
from bench.report import Row
from bench.stage import ROOT, Skipped, Stage, run, timed
from bench.turns import Pairs, Side, alternate, around
from remote.tracking import delta

ROWS = 1_000_000
RUNS = (100, 1000)
OTHERS, OTHER_POINTS = 50, 20
EXPERIMENT = "pulled"
MLRUNS = "mlruns"

#: How much of their time we may take at most.
MIGRATE_BAR, LOOP_BAR, EXPORT_BAR = 1 / 20, 1 / 35, 1 / 55
BARE_BAR = {100: 1.2, 1000: 1.3}
FILES_BAR = {100: 1 / 15, 1000: 1 / 12}


def measure(stage: Stage) -> Iterator[Row]:
    """All bring the same runs; each must have brought them all."""
    memory = Memory()
    for runs in RUNS:
        contest = _contest(stage, stage.size(runs), stage.size(ROWS), memory)
        merged = contest.merged(stage.trials(5))
        yield contest.bare_row(BARE_BAR[runs], merged)
        yield from contest.rows(stage.trials(3), FILES_BAR[runs], merged.theirs)
        shutil.rmtree(contest.folder)
    what = f"over all pulls of {stage.size(ROWS)} metric rows"
    yield from memory.rows("records", what)


def _contest(stage: Stage, runs: int, rows: int, memory: Memory) -> Contest:
    folder = stage.folder / f"records-{runs}"
    there = fill(folder / "there" / "mlflow.db", EXPERIMENT, runs, rows // runs)
    files = folder / "files"
    run([sys.executable, "-m", "bench.files", str(there), str(files / MLRUNS)], cwd=ROOT)
    here = fill(folder / "here" / "mlflow.db", "others", OTHERS, OTHER_POINTS)
    for target in (there.parent, files):
        make_target(target)
    return Contest(folder, there, files, here, runs, rows, memory)


@dataclass
class Contest:
    """The store `there`, a folder with the same as files, and the store `here` they are to reach."""

    folder: Path
    there: Path
    files: Path
    here: Path
    runs: int
    metric_rows: int
    memory: Memory

    def merged(self, trials: int) -> Pairs:
        """The merge alone, against the bare statements that put the same rows there."""
        file = self.folder / "all.delta"
        delta.write(self.there, file, {})
        return alternate(
            lambda: self.bare("merge", file), lambda: self.bare("insert", file), runs=trials
        )

    def bare_row(self, bar: float, pairs: Pairs) -> Row:
        what = f"the merge alone of {self.metric_rows} metric rows in {self.runs} runs / bare"
        what += " INSERT ... SELECT of the same rows, sorted as the primary keys are"
        return Row(self._name("bare"), what, bar, pairs)

    def bare(self, way: str, file: Path) -> float:
        """Seconds of one way of bench.bare, as that measured them."""
        with self._store() as store:
            words = [way, shutil.copy(file, store.parent / "copy.delta"), str(store)]
            seconds = float(run([sys.executable, "-m", "bench.bare", *map(str, words)], cwd=ROOT))
            require(store, self.there, self.here)
        return seconds

    def rows(self, trials: int, files_bar: float, inserted: Side) -> Iterator[Row]:
        """One row for each of the others, and one for a file store as our source.

        `inserted` are the bare statements alone, which no pull can do without.
        """
        mlflow = f"MLflow {version('mlflow')}"
        what = self._what(f"mlflow migrate-filestore of the same into an empty store ({mlflow})")
        migrated = self._against(self.migrate, trials)
        yield Row(self._name("migrate"), what, MIGRATE_BAR, migrated)
        yield self._limit_row("migrate", MIGRATE_BAR, inserted, migrated)
        what = self._what(f"a loop with MlflowClient ({mlflow})")
        looped = self._against(self.loop, trials)
        yield Row(self._name("loop"), what, LOOP_BAR, looped)
        yield self._limit_row("loop", LOOP_BAR, inserted, looped)
        yield from self._export_rows(mlflow, trials, inserted)
        what = self._what("the same trial of mlflow migrate-filestore", source="as a file store, ")
        ours = Side([self.pull(self.files, MLRUNS) for _ in range(trials)])
        yield Row(self._name("files"), what, files_bar, Pairs(ours, migrated.theirs))
        yield self._files_limit_row(files_bar, inserted, migrated)

    def _files_limit_row(self, bar: float, inserted: Side, migrated: Pairs) -> Row:
        argv = [sys.executable, "-m", "bench.bare", "read", str(self.files / MLRUNS)]
        bare = Side([seconds + float(run(argv, cwd=ROOT)) for seconds in inserted.trials])
        what = "Python makes numbers of all lines, and bare INSERT ... SELECT of the rows, nothing sent"
        return Row(
            f"{self._name('files')} limit",
            f"{what} / the same trial",
            bar,
            Pairs(bare, migrated.theirs),
        )

    def _limit_row(self, other: str, bar: float, inserted: Side, pulled: Pairs) -> Row:
        what = "bare INSERT ... SELECT of the same rows, nothing read and sent / the same trial"
        return Row(f"{self._name(other)} limit", what, bar, Pairs(inserted, pulled.theirs))

    def _export_rows(self, mlflow: str, trials: int, inserted: Side) -> Iterator[Row]:
        name, told = self._name("export"), f"({exporter.PACKAGES[0]}, {mlflow})"
        what = self._what(f"export-experiment and import-experiment into a running server {told}")
        try:
            exporter.install()
        except Skipped as reason:
            yield Row(name, f"{what}; skipped: {reason}", EXPORT_BAR)
            return
        exported = self._against(self.export, trials)
        yield Row(name, what, EXPORT_BAR, exported)
        yield self._limit_row("export", EXPORT_BAR, inserted, exported)

    def _what(self, theirs: str, source: str = "") -> str:
        return (
            f"{self.metric_rows} metric rows in {self.runs} runs ({source}no artifacts) into a"
            f" store of {OTHERS} others; client and agent as new processes, between them a compressed"
            f" delta and no ssh / {theirs}"
        )

    def _name(self, other: str) -> str:
        return f"{other}-{self.runs}"

    def _against(self, theirs: Callable[[], float], trials: int) -> Pairs:
        return around(lambda: self.pull(self.there.parent), theirs, runs=trials)

    def pull(self, source: Path, folder: str = "") -> float:
        """Ours."""
        rows = self.metric_rows
        with self._store() as store:
            seconds = pull(source, store, self.memory, metric_rows=rows, folder=folder)
            require(store, self.there, self.here)
        return seconds

    def migrate(self) -> float:
        """MLflow's own way from files to a database, which must not be there yet."""
        with self._store() as store:
            store.unlink()
            argv = [_script("mlflow"), "migrate-filestore", "--no-progress"]
            argv += ["--source", str(self.files), "--target", f"sqlite:///{store}"]
            seconds = timed(argv, cwd=store.parent, env={"MLFLOW_ALLOW_FILE_STORE": "true"})
            require(store, self.there)
        return seconds

    def loop(self) -> float:
        """What one would write by hand."""
        with self._store() as store:
            words = [str(self.there), str(store), EXPERIMENT]
            seconds = timed([sys.executable, "-m", "bench.loop", *words], cwd=ROOT)
            require(store, self.there, self.here)
        return seconds

    def export(self) -> float:
        """mlflow-export-import."""
        with self._store() as store:
            exported = store.with_name("exported")
            seconds = exporter.transfer(self.there, store, EXPERIMENT, exported)
            require(store, self.there, self.here)
        return seconds

    @contextlib.contextmanager
    def _store(self) -> Iterator[Path]:
        """A copy of the store with the other runs, in a folder of its own, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            yield Path(shutil.copy(self.here, Path(place) / "mlflow.db"))


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
