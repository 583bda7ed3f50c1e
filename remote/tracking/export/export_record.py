"""What was sent to one MLflow server, and what is new or changed since. mlflow isn't needed.

The record is a folder in the project's `.remote/exports/`, with a JSON file for each experiment, run
and model. Values are noted before a request and again after it, so an export that is killed in
between knows its own values again. Without the record everything is compared with the server:
nothing is doubled, and of what differs the server's is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from remote.files import read_json, write_json
from remote.tracking import delta
from remote.tracking.merge.artifact_paths import artifacts_below, is_safe_id
from remote.tracking.schema import MODEL, RUN
from remote.tracking.store import connect_read_only, has_table

Signatures = Dict[Tuple[str, str], str]
"""By kind and id: over the rows, how far the history goes, and the sizes and times of the files."""
_GROWTH = (
    "(SELECT max(rowid) FROM metrics WHERE run_uuid = ?1),"
    " (SELECT count(*) FROM inputs WHERE destination_type = 'RUN' AND destination_id = ?1),"
    " (SELECT count(*) FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"
    " AND source_id = ?1)"
)
"""What of a run grows without a change in other rows: the history, and what was used."""


@dataclass(frozen=True)
class ExportOrder:
    """What is exported from where to where.

    `store` is a SQLite store, `root` the folder that its artifacts lie below, `record` the folder that
    remembers what was written to the server at `address`; `settings` hold the login. `ids` are those
    of the runs and models to send, by kind; files called like secrets stay but for those `allowed`.
    """

    store: Path
    root: Path
    record: Path
    address: str
    settings: Mapping[str, str]
    ids: Mapping[str, Sequence[str]]
    allowed: Sequence[str] = ()


@dataclass
class ExportSummary:
    """Counts of what was sent; `notes` are lines for the user."""

    server: str = ""
    new: Dict[str, int] = field(default_factory=dict)
    """Created on the server, by kind."""
    grown_runs: int = 0
    """Runs that were on the server before and were brought up to date."""
    metric_rows: int = 0
    files: int = 0
    bytes: int = 0
    notes: List[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a line, once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass
class Sent:
    """What the record knows of one experiment, run or model."""

    server_id: str = ""
    signature: str = ""
    """That under which it was sent whole."""
    points: Optional[int] = None
    """Of a run's history, how many points were sent, in the order of their rows; None where the
    server has to be asked."""
    states: Dict[str, List[Optional[str]]] = field(default_factory=dict)
    """By field or file, what the server may have because of us. None is: nothing. It is more than
    one where an export was stopped between the request and its answer."""


@dataclass(frozen=True)
class ExportRecord:
    """`folder` may be missing."""

    folder: Path

    def get(self, kind: str, identity: str) -> Sent:
        """An empty one for what was never sent."""
        kept = read_json(self.folder / f"{kind}-{identity}.json") if is_safe_id(identity) else None
        return Sent(**kept) if kept else Sent()

    def put(self, kind: str, identity: str, sent: Sent) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{kind}-{identity}.json", asdict(sent))

    def begin_for(self, sides: str) -> bool:
        """Forget all that was sent between another store and server; True where that is new."""
        if self.get("between", "sides").signature == sides:
            return False
        shutil.rmtree(str(self.folder), ignore_errors=True)
        self.put("between", "sides", Sent(signature=sides))
        return True

    def unsent(self, signatures: Signatures) -> Signatures:
        """Those under which nothing was sent whole."""
        return {key: text for key, text in signatures.items() if self.get(*key).signature != text}


def signatures_here(order: ExportOrder) -> Signatures:
    """Of all that the order names, if it isn't deleted here; runs first."""
    additions: Signatures = {}
    with closing(connect_read_only(order.store)) as database:
        for kind, table, column, location in (
            (RUN, "runs", "run_uuid", "artifact_uri"),
            (MODEL, "logged_models", "model_id", "artifact_location"),
        ):
            query = (
                f"SELECT {_GROWTH}, t.{location} FROM {table} t JOIN experiments e"
                f" USING (experiment_id) WHERE t.{column} = ?1 AND t.lifecycle_stage = 'active'"
                " AND e.lifecycle_stage = 'active'"
            )
            ids = order.ids[kind] if has_table(database, table) else ()
            for identity in filter(is_safe_id, ids):
                for *growth, place in database.execute(query, (identity,)):
                    _, files = artifact_files(order.root, place, identity)
                    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
                    additions[kind, identity] = f" {growth} {digest}"
    signed = delta.signatures_of(order.store, order.ids)
    return {
        (kind, identity): signed[kind][identity] + text
        for (kind, identity), text in additions.items()
    }


def artifact_files(
    root: Path, location: object, identity: str
) -> Tuple[Optional[Path], Dict[str, str]]:
    """The folder, which is None where artifacts aren't in the project; by name below it the size and
    time of each file, which differ once it was written again.

    Plain files only: where a link leads isn't the run's. For what is none, and for a folder that can't
    be read, words say so that begin with no digit.
    """
    relative = artifacts_below(location, identity, roots=delta.with_real_paths([str(root)]))
    if relative is None:
        return None, {}
    top, versions = root / relative, {}

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            name = os.path.relpath(os.fsdecode(error.filename), str(top))
            versions[name] = f"can't be read: {error.strerror}"

    for parent, folders, names in os.walk(str(top), onerror=note):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for path in map(Path(parent).joinpath, (*names, *links)):
            status = path.lstat()
            is_plain = stat.S_ISREG(status.st_mode)
            version = f"{status.st_size} {status.st_mtime_ns}" if is_plain else "is no plain file"
            versions[path.relative_to(top).as_posix()] = version
    return top, versions
