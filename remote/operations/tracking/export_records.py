"""Exports what was merged into the project's store to the MLflow server of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

from remote.config import Project
from remote.operations.tracking.destination import Destination, destination, digest
from remote.operations.tracking.merge_records import merging
from remote.output import Progress
from remote.tracking import schema
from remote.tracking.export import ExportOrder, ExportSummary, export
from remote.transport.rsync_filters import IgnoreFile


def export_records(project: Project, *, dry_run: bool = False) -> ExportSummary | None:
    """Export runs that pulls and merges brought, and those that an earlier export didn't finish.

    Runs that were made here stay here. None where no server is set, or nothing is new since the last
    export. A dry run only counts, and asks no server. Raises StoreError, ConnectError, ConfigError.
    """
    to = destination(project)
    if not to.server or not to.location.exists():
        return None
    with merging(project):
        order = ExportOrder(
            store=to.location,
            root=project.root,
            record=project.state / "exports" / digest(to.server),
            address=to.server,
            settings=project.settings,
            ids={kind: _merged(to, kind) for kind in (schema.RUN, schema.MODEL)},
            allowed=IgnoreFile.of(project.root).allowed,
        )
        with Progress("exporting records") as progress:
            return export(order, progress.of, dry_run=dry_run)


def _merged(to: Destination, kind: str) -> list[str]:
    """The ids that merge bases name. A base of another store's merges may be among them: what it
    names isn't in this store, or came into it too."""
    ids: dict[str, None] = {}
    for base in sorted(to.base("").parent.glob("*.base.db")):
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(base)) as database:
            for (identity,) in database.execute("SELECT id FROM entity WHERE kind = ?", (kind,)):
                ids[str(identity)] = None
    return list(ids)
