"""Exports what was merged into the project's store to the MLflow server of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from remote.config import Project
from remote.job.spec import sweep_run
from remote.operations.sweep_record import sweep_files
from remote.operations.tracking.destination import Destination, destination, digest
from remote.operations.tracking.merge_records import merging
from remote.output import Progress, say
from remote.tracking import schema
from remote.tracking.export import ExportOrder, ExportSummary, export
from remote.tracking.export.server_client import parse_address
from remote.tracking.merge.base import backup_of
from remote.transport.rsync_filters import IgnoreFile


def export_records(project: Project, *, dry_run: bool = False) -> ExportSummary | None:
    """Export runs that pulls and merges brought, and those that an earlier export didn't finish.

    Runs that were made here stay here, but for those of sweeps, above the runs of their jobs. None
    where no server is set, or nothing is new since the last export. A dry run only counts, and asks
    no server. Raises StoreError, ConnectError, ConfigError.
    """
    to = destination(project)
    if not to.server or not to.location.exists():
        return None
    with merging(project):
        order = ExportOrder(
            store=to.location,
            root=project.root,
            record=_record(project, to.server),
            address=to.server,
            settings=project.settings,
            ids={
                schema.RUN: [*_merged(to, schema.RUN), *map(sweep_run, _sweeps(project))],
                schema.MODEL: _merged(to, schema.MODEL),
            },
            allowed=IgnoreFile.of(project.root).allowed,
        )
        with Progress("exporting records") as progress:
            return export(order, progress.of, dry_run=dry_run)


def _sweeps(project: Project) -> list[str]:
    return [file.stem for file in sweep_files(project.state)]


def _record(project: Project, address: str) -> Path:
    """The folder of what was sent to a server, with whatever login."""
    folder, before = (
        project.state / "exports" / digest(text) for text in (parse_address(address)[0], address)
    )
    # As earlier versions called it.
    if before.is_dir() and not folder.exists():
        before.rename(folder)
    return folder


def _merged(to: Destination, kind: str) -> list[str]:
    """The ids that merge bases name. A base of another store's merges may be among them: what it
    names isn't in this store, or came into it too."""
    ids: dict[str, None] = {}
    for base in sorted(to.base("").parent.glob("*.base.db")):
        copies = [
            file for file in (base, backup_of(base)) if file.is_file() and file.stat().st_size
        ]
        for file in copies:
            with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(file)) as database:
                for (name,) in database.execute("SELECT id FROM entity WHERE kind = ?", (kind,)):
                    ids[str(name)] = None
                break
        else:
            if copies:
                say(f"{base} can't be read: the runs of it are exported after a pull from there.")
    return list(ids)
