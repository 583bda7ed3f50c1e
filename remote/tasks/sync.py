"""`inv sync-push` and `inv sync-pull`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from invoke.context import Context

from remote.config import Project, find_project
from remote.errors import JobError, RemoteError
from remote.next_steps import name_target
from remote.options import seconds
from remote.output import plural, print_lines, say, size
from remote.tasks.declare import command
from remote.tasks.result import tell, tell_now, tell_target
from remote.tasks.transfer_report import exit_unless_all, tell_pulled, tell_pushed, tell_saved

if TYPE_CHECKING:
    from remote.operations.sweep_record import Sweep
    from remote.operations.sync import Pulled
    from remote.session import TargetSession

THEIRS_HELP = "also take the server's changes to runs that did not come from it"


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


def refuse_sweep(name: str) -> None:
    """Raises JobError where a sweep is named, and one job is meant."""
    if sweep := sweep_of(name):
        raise JobError(
            f"{name} is a sweep of {plural(len(sweep.jobs), 'job')}; this command takes one job.",
            f"inv remote-ps {sweep.id} lists them.",
        )


def registry_asked(project: Project, flag: bool) -> bool:
    """Whether registered models are merged: by the flag, or by the project's settings."""
    return flag or project.settings.get("REMOTE_REGISTRY", "").lower() in ("1", "yes", "true", "on")


@command(
    help={
        "dry-run": "show what would be sent and deleted, change nothing",
        "delete": "also delete files on the target that this project did not put there",
    },
    json=True,
)
def sync_push(c: Context, target: str = "", dry_run: bool = False, delete: bool = False) -> None:
    """Send the project to the server (honours .rsyncignore, never touches results).

    Example: inv sync-push --dry-run
    """
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


@command()
def watch(c: Context, target: str = "") -> None:
    """Push the project, then each change when it is saved, until Ctrl-C.

    Example: inv watch
    """
    from remote.operations import watch as operation
    from remote.session import TargetSession

    meant = server_of(target).target

    def session() -> TargetSession:
        return TargetSession.of(find_project(), meant)

    try:
        operation.watch(session, tell_saved)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Stopped: later changes are not pushed.") from None


@command(
    positional=["file"],
    iterable=["file"],
    help={
        "file": "files or folders of this machine",
        "to": "the folder to copy to, in data (default: data/raw)",
    },
    json=True,
)
def remote_put(c: Context, file: list[str], to: str = "data/raw", target: str = "") -> None:
    """Copy large files from anywhere on this machine to the server, once.

    The same command resumes an interrupted copy. Files that the server has are compared by content.
    Example: inv remote-put ~/Downloads/imagenet.tar --to data/raw
    """
    from remote.operations.put import put
    from remote.operations.sync import say_problems

    server = server_of(target)
    tally = put(server, file, to)
    tell_target(server, {"to": to, "files": tally})
    amount = f"{plural(len(tally.sent), 'file')}, {size(tally.bytes)}"
    print_lines(f"copied to {server.target}, {to}: {amount}")
    say_problems(tally.problems, "copied")
    exit_unless_all(tally.problems, "copied")
    print_lines("The server has all of it, with the same content.")


@command(
    iterable=["only"],
    help={
        "theirs": THEIRS_HELP,
        "only": "of the results, only this file, folder or pattern; repeatable",
        "artifacts-max": "leave larger artifacts on the server: 50M, small, none, or all (PULL_ARTIFACTS)",
        "watch": "repeat at this interval until Ctrl-C: 10s, 2m, or a number of seconds",
    },
    json=True,
)
def sync_pull(
    c: Context,
    target: str = "",
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
    only: list[str] | None = None,
    artifacts_max: str = "",
    watch: str = "",
) -> None:
    """Copy results and MLflow records back and merge them (a second pull changes nothing).

    Example: inv sync-pull
    """
    pull = functools.partial(
        pull_and_tell,
        dry_run=dry_run,
        registry=registry,
        theirs=theirs,
        only=only or (),
        is_result=True,
    )
    servers = [] if watch else pool_of(target)
    for server in servers or [server_of(target)]:
        limit_artifacts(server, artifacts_max)
    if watch:
        pause = seconds(f"{watch}s" if watch.isdecimal() else watch, "--watch")
        pull_again_and_again(server, pause, pull)
    if servers:
        from remote.tasks import pools

        registry = registry_asked(servers[0].project, registry)
        pools.pull_all(servers, dry_run=dry_run, registry=registry, theirs=theirs, only=only or ())
        return
    pulled = pull(server)
    exit_unless_all(pulled.problems, "pulled")


def limit_artifacts(server: TargetSession, typed: str = "") -> None:
    """Have pulls of a session heed the limit that was typed, or that is set; raises ConfigError."""
    from remote.operations.tracking.artifact_limit import SETTING, most_bytes

    if typed:
        settings = {**server.project.settings, SETTING: typed}
        server.project = replace(server.project, settings=settings)
    most_bytes(server.project)


def pull_again_and_again(
    server: TargetSession, pause: int, pull: Callable[..., Pulled]
) -> NoReturn:
    """Pull (as `pull_and_tell` does) until Ctrl-C, and say only what came. The first pull raises
    RemoteError, later ones are tried again."""
    from remote.operations.retries import Retries
    from remote.session import TargetSession
    from remote.tasks.merge_report import refuse_unreadable

    retries, target = Retries(), server.target
    try:
        told = pull(server).remarks
        tell_now()
        say(f"Pulling from {target} repeatedly. Ctrl-C ends it.")
        while True:
            time.sleep(max(pause, retries.pause) if retries.failure else pause)
            try:
                server = TargetSession.of(server.project, target)
                pulled = pull(server, told=told, again=bool(retries.failure))
                is_news = pulled.is_news or not pulled.remarks <= told
                if is_news:
                    tell_now()
                told = pulled.remarks
                refuse_unreadable(pulled.records, str(target), quietly=not is_news)
                retries.end(f"Pulling from {target} works again.")
            except RemoteError as error:
                retries.postpone(error)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Stopped: the next pull continues from here.") from None


def pull_and_tell(
    server: TargetSession,
    *,
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
    only: Sequence[str] = (),
    is_result: bool = False,
    told: frozenset[Hashable] | None = None,
    again: bool = False,
) -> Pulled:
    """Pull, and say what that brought and what it kept; it is the task's result, or a part of it.

    After a pull whose remarks were `told`, nothing is said where there is no news beside them; nor is
    anything exported, but `again` where that may be what failed. Its caller refuses what can't be read.
    """
    from remote.operations.sync import pull
    from remote.tasks import merge_report

    registry = registry_asked(server.project, registry)
    pulled = pull(server, dry_run=dry_run, registry=registry, theirs=theirs, only=only)
    if told is not None and not pulled.is_news and pulled.remarks <= told:
        if again:
            merge_report.export(server.project, dry_run=dry_run)
        return pulled
    if is_result:
        tell_target(server, pulled, dry_run=dry_run, export=None)
    else:
        tell(pulled=pulled)
    tell_pulled(server, pulled, dry_run=dry_run)
    if pulled.records.summary is not None and told is None:
        print_lines("Look at them: mlflow ui")
    exported = merge_report.finish(
        server.project, pulled.records, pulled.problems, str(server.target), dry_run=dry_run
    )
    if is_result:
        tell(export=exported)
    if told is None:
        merge_report.refuse_unreadable(pulled.records, str(server.target))
    return pulled
