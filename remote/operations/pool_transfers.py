"""Pushes to several targets, and pulls from them: sent and fetched at once, merged one after another."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from remote.errors import RemoteError
from remote.operations import sync
from remote.operations.pool import Reply, as_they_come
from remote.operations.sync import Fetched, Pulled, Pushed
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import merging
from remote.operations.tracking.pull_records import source_name
from remote.operations.transfers.pull_backups import new_backup
from remote.operations.transfers.push_guard import push_lock
from remote.session import TargetSession


def push_all(
    servers: Sequence[TargetSession], *, dry_run: bool = False, take_over: bool = False
) -> Iterator[Reply[Pushed]]:
    """Push to all of them, as `sync.push` does to one; which is the usual target stays as it is."""

    def push(server: TargetSession) -> Pushed:
        return sync.push_locked(server, dry_run=dry_run, take_over=take_over, is_usual=False)

    with push_lock(servers[0].project):
        yield from as_they_come(servers, push, limit=None)


def pull_all(
    servers: Sequence[TargetSession],
    *,
    dry_run: bool,
    registry: bool,
    theirs: bool,
    only: Sequence[str] = (),
) -> Iterator[Reply[Pulled]]:
    """Pull from all of them: each is merged when it has come, while others still do."""
    backup = new_backup()
    with merging(servers[0].project) as folder:

        def fetch(server: TargetSession) -> Fetched:
            own = _folder(folder, server)
            own.mkdir()
            # Each its own: what the first one brought may be what the second one replaces.
            kept = f"{backup}-{server.key[:4]}"
            return sync.fetch(server, own, kept, dry_run=dry_run, registry=registry, only=only)

        for reply in as_they_come(servers, fetch, limit=None):
            if not reply.answer:
                yield Reply(reply.server, error=reply.error)
                continue
            own = _folder(folder, reply.server)
            try:
                merged = sync.merge(
                    reply.answer, own, dry_run=dry_run, registry=registry, theirs=theirs
                )
                yield Reply(reply.server, merged)
            except RemoteError as error:
                yield Reply(reply.server, error=error)


def _folder(folder: Path, server: TargetSession) -> Path:
    return folder / server.key


def came_from(
    servers: Sequence[TargetSession], records: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """From which of the servers each record came, by its kind and id; those of none are left out."""
    found: dict[tuple[str, str], str] = {}
    for server in servers if records else ():
        base = destination(server.project).base(source_name(server))
        with suppress(sqlite3.DatabaseError):
            with closing(sqlite3.connect(f"{base.resolve().as_uri()}?mode=ro", uri=True)) as known:
                query = "SELECT 1 FROM entity WHERE kind = ? AND id = ?"
                for record in records:
                    if record not in found and known.execute(query, record).fetchone():
                        found[record] = server.target.label
    return found
