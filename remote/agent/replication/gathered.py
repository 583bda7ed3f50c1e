"""The records of jobs that ran on other machines: each has a store of its own, which this machine alone
merges into the target's, so that a pull finds all of them in one.

What was merged before of a job is remembered in its folder, as a pull remembers it of a target.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Dict, Optional

from remote.agent import launchers
from remote.agent.job_folders import every
from remote.agent.tracking.job_run import store_of
from remote.errors import RemoteError
from remote.files import is_absent, link_or_copy, locked, read_json, write_json
from remote.job.paths import ARTIFACTS, STATE, JobPaths
from remote.tracking import schema
from remote.tracking.delta import file_mark
from remote.tracking.merge import mark_fetched, merge, pull_state
from remote.tracking.revisions import revision_of
from remote.tracking.sources import source_of
from remote.tracking.store import columns_of, connect_read_only

#: In the folder of a job: what was merged of it, in a folder where nothing else lies.
BASE = "gathered/base.db"

#: What marks each job's store had when it was merged.
MARKS = f"{STATE}/gathered.json"


def gather(root: Path) -> Dict[str, str]:
    """Merge what is new in the stores of jobs elsewhere; why not, by the id of each of which that
    can't be done now. A store of another schema is left to pulls, which ask for it by itself."""
    jobs = [paths for paths in every(root) if _has_store_elsewhere(paths)]
    if not jobs:
        return {}
    faults: Dict[str, str] = {}
    with locked(root / STATE / "take.lock", "another pull or push of records"):
        before: Dict[str, str] = read_json(root / MARKS) or {}
        after = {}
        for paths in jobs:
            try:
                after[paths.id] = _gathered(paths, before.get(paths.id, ""))
            except (OSError, RemoteError, sqlite3.Error) as error:
                faults[paths.id] = f"the records of {paths.id} can't be merged there: {error}"
        if after != before:
            write_json(root / MARKS, after)
    return faults


def is_gathered(paths: JobPaths) -> bool:
    """Whether a job's store is merged here, so that no pull may ask for it by itself."""
    return not is_absent(paths.folder / BASE)


def _has_store_elsewhere(paths: JobPaths) -> bool:
    if is_absent(paths.own_store):
        return False
    launched = launchers.read(paths, None)
    row = launchers.LAUNCHERS.get(launched.launcher) if launched else None
    return row is not None and row.ELSEWHERE


def _gathered(paths: JobPaths, before: str) -> str:
    """The mark of a job's store when it was merged, now or `before`."""
    # First: what comes while it is merged comes again.
    mark = file_mark(paths.own_store) or ""
    return mark if mark and mark == before or _merge(paths) else before


def _merge(paths: JobPaths) -> bool:
    """Merge what is new in a job's store; False where that is of another schema."""
    store, base = store_of(paths.root), paths.folder / BASE
    if is_absent(store):
        _make_like(paths.own_store, store)
    if not _revision(store) == _revision(paths.own_store) is not None:
        return False
    source, delta = source_of(paths.own_store), base.with_name("delta")
    if source is None:
        return False
    base.parent.mkdir(exist_ok=True)
    try:
        known = pull_state(base, store=store)
        source.write_delta(paths.own_store, delta, known, roots=[str(paths.root)], registry=True)
        root = paths.root / ARTIFACTS
        summary = merge(delta, store=store, artifact_root=root, base=base, source=paths.id)
    finally:
        for part in base.parent.glob("delta*"):
            part.unlink()
    for folder in summary.artifacts:
        _share(paths.root / folder.remote, paths.root / folder.local)
    mark_fetched(base, summary.artifacts)
    return True


def _make_like(source: Path, store: Path) -> None:
    """Give the target, which has none, an empty store of the same schema; raises FileExistsError
    where it has one by now."""
    new = store.with_name(f".mlflow-new-{os.urandom(8).hex()}")
    try:
        with closing(connect_read_only(source)) as old, closing(sqlite3.connect(str(new))) as copy:
            old.backup(copy)
            with copy:
                for table in (
                    each.name for each in schema.TABLES if columns_of(copy, "main", each.name)
                ):
                    # MLflow's own experiment, which is in every store.
                    rows = " WHERE experiment_id != 0" if table == "experiments" else ""
                    copy.execute(f'DELETE FROM "{table}"{rows}')
        os.link(str(new), str(store))
    finally:
        new.unlink()


def _revision(store: Path) -> Optional[str]:
    with closing(connect_read_only(store)) as database:
        return revision_of(database)


def _share(source: Path, folder: Path) -> None:
    """Have a folder hold the files of another one, as they are now."""
    if source == folder:
        return
    for place, _, names in os.walk(str(source)):
        there = folder / os.path.relpath(place, str(source))
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            old, new = Path(place) / name, there / name
            # A program may replace a file, which is another one then.
            if is_absent(new) or not old.samefile(new):
                with suppress(FileNotFoundError):
                    new.unlink()
                link_or_copy(str(old), str(new))
