"""`inv sync-push` and `inv sync-pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from remote.config import Project, find_project
from remote.next_steps import name_target
from remote.output import plural, print_lines, size
from remote.tasks.declare import command
from remote.tasks.result import tell, tell_target
from remote.tasks.transfer_report import exit_unless_all, tell_pulled, tell_pushed

if TYPE_CHECKING:
    from remote.operations.sweep_record import Sweep
    from remote.operations.sync import Pulled
    from remote.session import TargetSession

THEIRS_HELP = "take changes of runs that are here and didn't come from there, too"


def server_of(target: str) -> TargetSession:
    """The server that `target`, or TARGET_DIR, names."""
    from remote.session import TargetSession

    project = find_project()
    found = project.target(target)
    name_target(found.label if found.label != project.usual_target() else "")
    return TargetSession.of(project, found)


def pool_of(target: str) -> list[TargetSession]:
    """The servers that a group, `all` or `any` stands for; none where one target is meant."""
    project = find_project()
    if not project.is_pool(target):
        return []
    from remote.operations.pool import sessions

    name_target(target if target != project.usual_target() else "")
    return sessions(project, target)


def sweep_of(name: str) -> Sweep | None:
    """The sweep of that name that was started from here; None where there is none."""
    from remote.operations.sweep_record import find_sweep

    return find_sweep(find_project().state, name) if name else None


def registry_asked(project: Project, flag: bool) -> bool:
    """Whether registered models are merged: by the flag, or by the project's settings."""
    return flag or project.settings.get("REMOTE_REGISTRY", "").lower() in ("1", "yes", "true", "on")


@command(
    help={
        "dry-run": "show what would be sent and deleted, change nothing",
        "delete": "let this project delete files there that it did not put there itself",
    },
    json=True,
)
def sync_push(c: Context, target: str = "", dry_run: bool = False, delete: bool = False) -> None:
    """Send the project to the server (honours .rsyncignore, never touches results)."""
    from remote.operations.sync import push

    if servers := pool_of(target):
        from remote.tasks import pools

        pools.push_all(servers, dry_run=dry_run, take_over=delete)
        return
    server = server_of(target)
    pushed = push(server, dry_run=dry_run, take_over=delete)
    tell_target(server, pushed, dry_run=dry_run)
    tell_pushed(server, pushed, dry_run=dry_run)
    exit_unless_all(pushed.files.problems, "pushed")


@command(
    positional=["file"],
    iterable=["file"],
    help={
        "file": "a file or folder of this machine; several may follow",
        "to": "where to, in data",
    },
    json=True,
)
def remote_put(c: Context, file: list[str], to: str = "data/raw", target: str = "") -> None:
    """Copy files to the server once, wherever they are here: large data that the project doesn't hold.

    The same command again goes on where it was cut off. What is there is compared by its content.
    """
    from remote.operations.put import put

    server = server_of(target)
    tally = put(server, file, to)
    tell_target(server, {"to": to, "files": tally})
    amount = f"{plural(len(tally.sent), 'file')}, {size(tally.bytes)}"
    print_lines(f"copied to {server.target}, {to}: {amount}")
    exit_unless_all(tally.problems, "copied")
    print_lines("All of it is there as it is here.")


@command(help={"theirs": THEIRS_HELP}, json=True)
def sync_pull(
    c: Context,
    target: str = "",
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
) -> None:
    """Bring results and MLflow records back and merge them (twice changes nothing)."""
    if servers := pool_of(target):
        from remote.tasks import pools

        registry = registry_asked(servers[0].project, registry)
        pools.pull_all(servers, dry_run=dry_run, registry=registry, theirs=theirs)
        return
    pulled = pull_and_tell(
        server_of(target), dry_run=dry_run, registry=registry, theirs=theirs, is_result=True
    )
    exit_unless_all(pulled.problems, "pulled")


def pull_and_tell(
    server: TargetSession,
    *,
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
    is_result: bool = False,
) -> Pulled:
    """Pull, and say what that brought and what it kept; it is the task's result, or a part of it."""
    from remote.operations.sync import pull, say_problems
    from remote.tasks import merge_report

    registry = registry_asked(server.project, registry)
    pulled = pull(server, dry_run=dry_run, registry=registry, theirs=theirs)
    if is_result:
        tell_target(server, pulled, dry_run=dry_run, export=None)
    else:
        tell(pulled=pulled)
    tell_pulled(server, pulled, dry_run=dry_run)
    if pulled.records.summary is not None:
        print_lines("Look at them: mlflow ui")
    exported = merge_report.export(server.project, dry_run=dry_run)
    if is_result:
        tell(export=exported)
    say_problems(pulled.problems, "pulled")
    merge_report.refuse_unreadable(pulled.records, str(server.target))
    return pulled
