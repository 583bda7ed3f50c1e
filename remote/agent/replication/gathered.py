"""The records of jobs that ran on other machines: each has a store of its own, which this machine alone
merges into the target's, so that a pull finds all of them in one.

What was merged before of a job is remembered in its folder, as a pull remembers it of a target.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Dict, List, Optional

from remote.agent import launchers
from remote.agent.job_folders import every
from remote.agent.tracking.job_run import store_of
from remote.errors import RemoteError, StoreError
from remote.files import is_absent, link_or_copy, locked, read_json, write_json
from remote.job.paths import ARTIFACTS, STATE, JobPaths
from remote.tracking.delta import file_mark
from remote.tracking.empty_store import empty_like
from remote.tracking.merge import mark_fetched, merge, pull_state
from remote.tracking.merge.base import store_identity
from remote.tracking.revisions import revision_of
from remote.tracking.sources import source_of
from remote.tracking.store import connect_read_only, usable

#: In the folder of a job: what was merged of each of its stores, in folders where nothing else lies.
GATHERED = "gathered"

#: What marks each job's stores had when it was merged, and into which store that was.
MARKS = f"{STATE}/gathered.json"


def gather(root: Path) -> Dict[str, str]:
    """Merge what is new in the stores of jobs elsewhere; why not, by the id of each of which that
    can't be done now. A store of another schema is left to pulls, which ask for it by itself."""
    stores = [(paths, store) for paths in every(root) for store in _stores_elsewhere(paths)]
    if not stores:
        return {}
    faults: Dict[str, str] = {}
    with locked(root / STATE / "take.lock", "another pull or push of records"):
        noted, into = read_json(root / MARKS) or {}, _identity(store_of(root))
        before: Dict[str, str] = noted.get("marks", {}) if noted.get("store") == into else {}
        after = {}
        for paths, store in stores:
            name = f"{paths.id}/{store.name}"
            try:
                after[name] = _gathered(paths, store, before.get(name, ""))
            except (OSError, RemoteError, sqlite3.Error) as error:
                faults[paths.id] = (
                    f"the records of {paths.id} can't be merged on the server: {error}"
                )
        now = {"store": _identity(store_of(root)), "marks": after}
        if now != noted:
            write_json(root / MARKS, now)
    return faults


def _identity(store: Path) -> Optional[str]:
    """Which store it is: into one that was made anew, all is merged again. None for none, and for one
    that can't be read, of which each merge tells."""
    with suppress(OSError, RemoteError), usable(store):
        with closing(connect_read_only(store)) as database:
            return store_identity(database)
    return None


def is_gathered(paths: JobPaths, store: str) -> bool:
    """Whether a store of a job is merged here, so that no pull may ask for it by itself; `store` is
    its path below the root."""
    folder, _, name = store.rpartition("/")
    is_own = paths.root / folder == paths.folder
    return is_own and not is_absent(_base(paths, name))


def _base(paths: JobPaths, name: str) -> Path:
    return paths.folder / GATHERED / name / "base.db"


def _stores_elsewhere(paths: JobPaths) -> List[Path]:
    """The stores of a job that isn't of this machine: its own, and one of each node that its code
    was spread to."""
    if is_absent(paths.own_store):
        return []
    launched = launchers.read(paths, None)
    row = launchers.LAUNCHERS.get(launched.launcher) if launched else None
    if row is None or not row.ELSEWHERE:
        return []
    return [paths.own_store, *sorted(paths.folder.glob(paths.spread_store("*").name))]


def _gathered(paths: JobPaths, store: Path, before: str) -> str:
    """The mark of a job's store when it was merged, now or `before`."""
    # First: what comes while it is merged comes again.
    mark = file_mark(store) or ""
    return mark if mark and mark == before or _merge(paths, store) else before


def _merge(paths: JobPaths, found: Path) -> bool:
    """Merge what is new in a job's store; False where that is of another schema.

    Raises StoreError where something is refused, after all else was merged.
    """
    store, base = store_of(paths.root), _base(paths, found.name)
    if is_absent(store):
        empty_like(found, store)
    source = source_of(found)
    if source is None or _revision(store) != _revision(found):
        return False
    base.parent.mkdir(parents=True, exist_ok=True)
    delta = base.with_name("delta")
    try:
        known = pull_state(base, store=store)
        source.write_delta(found, delta, known, roots=[str(paths.root)], registry=True)
        root = paths.root / ARTIFACTS
        summary = merge(delta, store=store, artifact_root=root, base=base, source=paths.id)
    finally:
        for part in base.parent.glob("delta*"):
            part.unlink()
    for folder in summary.artifacts:
        _share(paths.root / folder.remote, paths.root / folder.local)
    mark_fetched(base, summary.artifacts)
    if summary.refused:
        first, *others = [f"{each.kind} {each.id}: {each.reason}" for each in summary.refused]
        more = f" (and {len(others)} more)" if others else ""
        raise StoreError(f"refused: {first}{more}")
    return True


def _revision(store: Path) -> Optional[str]:
    with closing(connect_read_only(store)) as database:
        return revision_of(database)


def _share(source: Path, folder: Path) -> None:
    """Have a folder hold the files of another one, as they are now."""
    if source == folder:
        return
    for place, _, names in os.walk(str(source), onerror=_unless_absent):
        there = folder / os.path.relpath(place, str(source))
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            old, new = Path(place) / name, there / name
            # A program may replace a file, which is another one then.
            if is_absent(new) or not old.samefile(new):
                with suppress(FileNotFoundError):
                    new.unlink()
                link_or_copy(str(old), str(new))


def _unless_absent(error: OSError) -> None:
    """A run without artifacts has no folder; what else can't be looked at is not passed over."""
    if not isinstance(error, FileNotFoundError):
        raise error
