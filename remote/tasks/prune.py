"""What may go: `inv remote-rm` and `remote-prune`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import declared, find_project
from remote.errors import RemoteError
from remote.files import read_json
from remote.output import plural, print_lines, say, say_first, saying_of, size
from remote.tasks.declare import command
from remote.tasks.exits import confirm
from remote.tasks.result import refuse_question, tell, tell_target
from remote.tasks.sync import pool_of, server_of, sweep_of

if TYPE_CHECKING:
    from remote.job.messages.old_jobs import FreeAnswer, PruneAnswer, PruneRequest
    from remote.operations.tracking.free_pulled import Copies
    from remote.session import TargetSession
    from remote.target import Target


@command(
    positional=["job"],
    help={"job": "a job's id, a unique part of it, or `last`; or a sweep's, for all of its jobs"},
    json=True,
)
def remote_rm(c: Context, job: str, target: str = "", force: bool = False) -> None:
    """Remove an ended job's folder on the server: log and snapshot. Its results and records stay.

    Example: inv remote-rm last
    """
    from remote.job.messages.old_jobs import RemoveRequest

    if sweep := sweep_of(job):
        from remote.tasks.sweep_jobs import remove_sweep

        remove_sweep(find_project(), sweep, force=force)
        return
    server = server_of(target)
    pulled = tuple(read_json(server.pulled) or ())
    request = RemoveRequest(key=server.key, jobs=(job,), pulled=pulled, force=force)
    answer = server.agent.call(request)
    tell_target(server, answer)
    for name in answer.removed:
        print_lines(f"removed {name}, {size(answer.bytes)} freed")


@command(
    help={
        "older": "only what is older than this, such as 30d (the default)",
        "pulled": "also artifacts and results that this machine has too, compared by content",
        "dry-run": "show what would be removed, change nothing",
        "yes": "remove without asking",
    },
    json=True,
)
def remote_prune(
    c: Context,
    older: str = "30d",
    target: str = "",
    force: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    pulled: bool = False,
) -> None:
    """Remove old jobs that were pulled, unused environments and downloads, old backups, also local ones.

    Backups younger than a day stay. On a terminal it shows what would be removed, and asks. --pulled
    also removes the server's copies of files that this machine has too, of no running job.
    Example: inv remote-prune --older 30d --dry-run
    """
    from remote.job.messages.old_jobs import PruneRequest
    from remote.options import seconds

    servers = pool_of(target) or [server_of(target)]
    request = PruneRequest(
        key=servers[0].key,
        older=seconds(older, "--older"),
        force=force,
        dry_run=dry_run,
        python=declared(servers[0].project.root, "requires-python"),
        now=time.time(),
    )
    asks = not dry_run and not yes and sys.stdin.isatty()
    if asks:
        refuse_question("--dry-run shows what would be removed, --yes removes it.")
    tell(copies=[])
    copies = list(_copies(servers, request)) if pulled else []
    if asks:
        found = _tell_copies(copies)
        if not _prune(servers, request.replace(dry_run=True)) and not found:
            return
        confirm("Remove all that?")
    elif dry_run:
        _tell_copies(copies)
    _prune(servers, request)
    if pulled and not dry_run:
        _remove(copies)


def _remove(copies: Sequence[Copies]) -> None:
    gone = [(each.server.target, each.remove()) for each in copies]
    _tell_freed(gone)
    for target, answer in gone:
        amount = f"{plural(len(answer.files), 'file')}, {size(answer.bytes)}"
        print_lines(f"freed on {target}: {amount} that this machine has too")


def _tell_freed(freed: Iterable[tuple[Target, FreeAnswer]]) -> None:
    tell(
        copies=[
            {"target": str(target), "files": answer.files, "bytes": answer.bytes}
            for target, answer in freed
        ]
    )


def _copies(servers: Sequence[TargetSession], request: PruneRequest) -> Iterator[Copies]:
    """What each server has that is here too; who doesn't answer is told of."""
    from remote.operations.tracking.free_pulled import find_copies

    for server in servers:
        try:
            yield find_copies(server, request.older, request.now)
        except RemoteError as error:
            say(f"{server.target}: {error.message}")


def _tell_copies(copies: Sequence[Copies]) -> bool:
    """Say what of the servers' files is here too, and would go; whether there is any."""
    _tell_freed((each.server.target, each.answer) for each in copies)
    for each in copies:
        names = [
            f"would remove {name} on the server: this machine has it too"
            for name in sorted(each.sums)
        ]
        say_first(names, "files")
        amount = f"{plural(len(names), 'file')}, {size(each.answer.bytes)}"
        print_lines(
            f"{each.server.target}: {amount} of artifacts and results that this machine has too"
        )
    return any(each.sums for each in copies)


def _prune(servers: Sequence[TargetSession], request: PruneRequest) -> bool:
    """Have it removed on each, or with `dry_run` only told; whether there is anything to remove."""
    from remote.operations.pool import ask_all

    def ask(server: TargetSession) -> PruneAnswer:
        settings, pulled = server.settings, tuple(read_json(server.pulled) or ())
        own = request.replace(
            key=server.key,
            pulled=pulled,
            extras=settings.extras if settings.has_extras else (),
            environment=settings.environment,
            environment_source=settings.image or settings.python,
            torch_backend=settings.torch_backend,
        )
        return server.agent.call(own)

    if len(servers) == 1:
        answer = ask(servers[0])
        tell_target(servers[0], answer, dry_run=request.dry_run)
        found = _tell(answer, dry_run=request.dry_run)
        return _prune_here(servers[0], request) or found
    found, silent = False, []
    replies = ask_all(servers, ask, limit=None)
    tell(targets=replies, dry_run=request.dry_run)
    for reply in replies:
        label = reply.server.target.label
        with saying_of(label):
            if reply.answer:
                found |= _tell(reply.answer, f"{label}: ", dry_run=request.dry_run)
            else:
                say(reply.words)
                silent.append(label)
    found |= _prune_here(servers[0], request)
    if silent and not request.dry_run:
        raise Exit(f"Nothing was removed on {', '.join(silent)}.", code=1)
    return found


def _tell(answer: PruneAnswer, lead: str = "", *, dry_run: bool) -> bool:
    """Say what went, or would go, and what stays; whether that is anything."""
    verb, would = ("would remove", "would be ") if dry_run else ("removed", "")
    lines = [f"job {name}" for name in answer.jobs]
    lines += [f"environment {name}" for name in answer.environments]
    lines += [f"backup {name}" for name in answer.backups]
    if answer.unfinished:
        lines.append(f"leftovers of interrupted transfers, {size(answer.unfinished)}")
    if answer.downloads:
        lines.append(f"uv's downloads that no environment uses, {size(answer.downloads)}")
    print_lines(*(f"{lead}{verb} {line}" for line in lines))
    print_lines(f"{lead}{plural(len(answer.jobs), 'job')}, {size(answer.bytes)} {would}freed")
    say_first([f"stays: {text}" for text in answer.remarks], "remarks")
    if answer.unfetched:
        say_first(
            [f"kept {name}: it has the only copy of files" for name in answer.unfetched], "jobs"
        )
        say("To copy them: inv remote-fetch JOB. To remove them anyway: --force.")
    if answer.kept:
        say(
            f"{plural(len(answer.kept), 'job')} of that age kept, not pulled yet: "
            "make sync-pull, or --force."
        )
    return bool(answer.bytes or answer.jobs or answer.environments or answer.backups)


def _prune_here(server: TargetSession, request: PruneRequest) -> bool:
    """Remove old backups of pulls from this machine, or tell of them; whether there are any."""
    from remote.folders import delete
    from remote.operations.transfers.pull_backups import old_backups

    verb = "would remove" if request.dry_run else "removed"
    backups = list(old_backups(server.project, request.older))
    tell(here=[{"backup": folder.name, "bytes": count} for folder, count in backups])
    for folder, count in backups:
        problem = "" if request.dry_run else delete(folder)
        if problem:
            say(f"stays: {problem}")
        print_lines(f"{verb} on this machine: {folder.name}, {size(count)} of what pulls replaced")
    return bool(backups)
