"""All that is checked, in order, and the mending of what can be mended."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Iterable, Optional, Sequence

from remote.errors import StoreError
from remote.output import plural
from remote.tracking.check.missing_artifacts import missing_artifacts
from remote.tracking.check.stored_paths import (
    ProjectDir,
    State,
    StoredPath,
    mend_paths,
    paths_of,
)
from remote.tracking.store import (
    connect_read_only,
    is_present,
    reading_url,
    unusable,
    usable,
    writing,
)
from remote.tracking.unfit_values import UnfitRow, make_readable, unfit_rows

_MAGIC = b"SQLite format 3\x00"
"""What a SQLite file begins with (https://www.sqlite.org/fileformat2.html#the_database_header)."""


@dataclass(frozen=True)
class Finding:
    """A group of problems of one kind.

    `message` is one line with the count, `items` name every single one. `step` is what the user has
    to do, `mend_after` that there is something to mend after it; `mendable` needs no step.
    """

    name: str
    message: str
    items: tuple[str, ...] = ()
    step: str = ""
    mendable: bool = False
    mend_after: bool = False


def examine(store: Path) -> list[Finding]:
    """What is wrong with the store; raises StoreError where it is none, or can't be read."""
    damage = _integrity(store) if _is_database(store) else []
    if damage:
        return damage
    if not is_present(store):
        raise StoreError(f"There is no {store}.", "Name a store: a file such as mlflow.db.")
    project, paths = ProjectDir(store), paths_of(store)
    with usable(store), closing(connect_read_only(store)) as database:
        missing = missing_artifacts(database, paths)
        unfit = tuple(unfit_rows(database, "main", "main"))
    findings = _unfit_findings(unfit) + _path_findings(paths, project)
    if missing:
        message = f"{plural(len(missing), 'artifact')} that records name can't be found"
        step = "Pull again (make sync-pull), or restore them from a copy of mlruns/."
        findings.append(Finding("artifacts", message, missing, step))
    return findings + _file_store(project)


def _is_database(store: Path) -> bool:
    try:
        with open(store, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        # What it is instead, `is_present` says.
        return False


def mend(store: Path, findings: Sequence[Finding]) -> Optional[Path]:
    """Mends what can be, each kind in one transaction; the copy that was made before, if any was."""
    if not any(finding.mendable for finding in findings):
        return None
    copy = _back_up(store)
    with writing(store) as database:
        for row in list(unfit_rows(database, "main", "main")):
            make_readable(database, row)
    mend_paths(store, paths_of(store))
    return copy


def _unfit_findings(rows: Sequence[UnfitRow]) -> list[Finding]:
    if not rows:
        return []
    message = f"{plural(len(rows), 'row')} MLflow can't read: bytes that are no UTF-8, or no number"
    items = tuple(f"{row.table.name} {row.label}: {', '.join(row.columns)}" for row in rows)
    return [Finding("unreadable values", message, items, mendable=True)]


def _path_findings(paths: Iterable[StoredPath], project: ProjectDir) -> list[Finding]:
    """One for each thing that is the matter, and each project that the paths come from."""
    groups: dict[tuple[State, str], list[StoredPath]] = {}
    for path in paths:
        if path.state is not State.FINE:
            groups.setdefault((path.state, path.old), []).append(path)
    findings = []
    for (state, old), group in groups.items():
        leads = f"{plural(len(group), 'path')} {'leads' if len(group) == 1 else 'lead'}"
        message = f"{leads} {state.value.format(old=old or 'places')}"
        if state is not State.OUTSIDE:
            items = tuple(f"{path.label}: {path.text} -> {path.written}" for path in group)
            findings.append(Finding("paths", message, items, mendable=True))
            continue
        items = tuple(f"{path.label}: {path.text}" for path in group)
        example = next((path.standard for path in group if path.standard), "mlruns")
        step = f"Copy the files to where MLflow keeps them in this project, such as {example}"
        if old:
            copy = shlex.join(["rsync", "-a", "--ignore-existing", f"{old}/mlruns", project.folder])
            step = f"Copy the files of {old}: {copy}"
        findings.append(Finding("paths", message, items, step, mend_after=True))
    return findings


def _file_store(project: ProjectDir) -> list[Finding]:
    """What makes plain `mlflow ui` choose `mlruns` over the database, and refuse to start."""
    folders = sorted(path.parent.name for path in Path(project.mlruns).glob("*/meta.yaml"))
    items = tuple(f"mlruns/{name}/meta.yaml" for name in folders if name.isdigit())
    if not items:
        return []
    count = plural(len(items), "experiment")
    message = (
        f"mlruns holds a file store ({count}), because of which mlflow ui ignores the database"
    )
    step = "Merge its runs into the database (inv mlflow-merge mlruns), then move these files away."
    return [Finding("file store", message, items, step)]


def _integrity(store: Path) -> list[Finding]:
    """What SQLite itself finds wrong; nothing else can be told of such a file."""
    try:
        with closing(connect_read_only(store)) as database:
            lines = [line for (line,) in database.execute("PRAGMA quick_check")]
    except sqlite3.OperationalError as error:
        raise unusable(store, error) from error
    except sqlite3.DatabaseError as error:
        lines = [str(error)]
    if lines == ["ok"]:
        return []
    old, new = shlex.quote(str(store)), shlex.quote(f"{store}.recovered")
    message = f"the file is damaged ({plural(len(lines), 'fault')})"
    step = f'Put back a copy, or save what can be read: sqlite3 {old} ".recover" | sqlite3 {new}'
    return [Finding("database", message, tuple(lines), step)]


def _back_up(store: Path) -> Path:
    """A copy beside the store, in one step: consistent, whoever writes meanwhile."""
    copy = Path(f"{store}.before-check-{datetime.now():%Y%m%d-%H%M%S-%f}")
    part = Path(f"{copy}.part")
    try:
        with closing(sqlite3.connect(reading_url(store), uri=True)) as source:
            with closing(sqlite3.connect(part)) as target:
                source.backup(target, pages=-1)
        shutil.copymode(store, part)
        os.replace(part, copy)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"No copy of {store} could be made: {error}", "Nothing was changed. Is the disk full?"
        ) from error
    return copy
