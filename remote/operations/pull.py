"""Pull: results back by rsync, records back by the merge, then the artifacts it names."""

from __future__ import annotations

import time
from dataclasses import dataclass

from remote.errors import TransferError
from remote.files import write_json
from remote.job.paths import STATE
from remote.operations.tracking.merge_records import Records, merging
from remote.operations.tracking.pull_records import ask, look, merge_all
from remote.session import TargetSession
from remote.transport import rsync, rsync_args
from remote.transport.rsync_args import Dialect, Tally


@dataclass(frozen=True)
class Pulled:
    """What a pull brought."""

    files: tuple[str, ...]
    replaced: tuple[str, ...]
    backup: str
    records: Records
    bytes: int
    seconds: float


def pull(server: TargetSession, *, dry_run: bool = False, registry: bool = False) -> Pulled:
    """Bring back what jobs wrote; twice changes nothing."""
    start = time.monotonic()
    dialect = rsync.dialect()
    backup = f"{STATE}/backup/pull-{time.strftime('%Y%m%d-%H%M%S')}"
    server.connect()
    with merging(server.project) as folder:
        # First of all, so that jobs which the agent sees to now have their results brought too.
        asked = ask(server, folder, registry=registry)
        try:
            files = _results(server, dialect, backup, dry_run=dry_run)
        except rsync.Unready:
            look(server)
            try:
                files = _results(server, dialect, backup, dry_run=dry_run)
            except rsync.Unready as error:
                raise TransferError(f"rsync did not start on {server.target}: {error}") from None
        records = merge_all(server, asked, folder, registry=registry, dry_run=dry_run)
        if not dry_run:
            write_json(server.pulled, asked.answer.ended)
    return Pulled(
        files=tuple(files.sent),
        replaced=tuple(files.replaced),
        backup=backup if files.replaced else "",
        records=records,
        bytes=files.bytes + records.bytes,
        seconds=time.monotonic() - start,
    )


def _results(server: TargetSession, dialect: Dialect, backup: str, *, dry_run: bool) -> Tally:
    root = server.project.root
    argv = rsync_args.pull_argv(server.remote, dialect, backup=root / backup, dry_run=dry_run)
    return rsync.run(argv, server.remote, cwd=root, title="pulling", dialect=dialect)
