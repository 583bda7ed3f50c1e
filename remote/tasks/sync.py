"""`inv sync-push` and `inv sync-pull`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project, find_project
from remote.next_steps import name_target
from remote.output import plural, print_lines, say, say_first, size
from remote.tasks.declare import command

if TYPE_CHECKING:
    from remote.session import TargetSession
    from remote.transport.rsync_problems import Problem


#: The exit code of what was done but for some paths; what failed as a whole has another one.
NOT_ALL = 3


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


def registry_asked(project: Project, flag: bool) -> bool:
    """Whether registered models are merged: by the flag, or by the project's settings."""
    return flag or project.settings.get("REMOTE_REGISTRY", "").lower() in ("1", "yes", "true", "on")


def exit_unless_all(problems: Sequence[Problem], verb: str) -> None:
    """Exit with NOT_ALL where a path could not be moved."""
    if problems:
        raise Exit(f"All but {plural(len(problems), 'path')} was {verb}.", code=NOT_ALL)


@command(
    help={
        "dry-run": "show what would be sent and deleted, change nothing",
        "delete": "let this project delete files there that it did not put there itself",
    }
)
def sync_push(c: Context, target: str = "", dry_run: bool = False, delete: bool = False) -> None:
    """Send the project to the server (honours .rsyncignore, never touches results)."""
    from remote.operations.sync import line, push, say_problems

    server = server_of(target)
    pushed = push(server, dry_run=dry_run, take_over=delete)
    if dry_run:
        print_lines(*(f"send    {name}" for name in pushed.files.sent))
        print_lines(*(f"delete  {name}" for name in pushed.files.deleted))
    print_lines(line(server, pushed, dry_run=dry_run))
    if pushed.foreign:
        say(
            f"Nothing was deleted: {server.target} holds files that this project never pushed.",
            "If it is yours to mirror into: inv sync-push --delete",
        )
    say_problems(pushed.files.problems, "pushed")
    exit_unless_all(pushed.files.problems, "pushed")


@command(help={"theirs": THEIRS_HELP})
def sync_pull(
    c: Context,
    target: str = "",
    dry_run: bool = False,
    registry: bool = False,
    theirs: bool = False,
) -> None:
    """Bring results and MLflow records back and merge them (twice changes nothing)."""
    problems = pull_and_tell(server_of(target), dry_run=dry_run, registry=registry, theirs=theirs)
    exit_unless_all(problems, "pulled")


def pull_and_tell(
    server: TargetSession, *, dry_run: bool = False, registry: bool = False, theirs: bool = False
) -> list[Problem]:
    """Pull, and say what that brought and what it kept; the paths that could not come."""
    from remote.operations.sync import pull, say_problems
    from remote.tasks import merge_report

    registry = registry_asked(server.project, registry)
    pulled = pull(server, dry_run=dry_run, registry=registry, theirs=theirs)
    files, records = pulled.files, pulled.records
    if dry_run:
        print_lines(*(f"bring   {name}" for name in files.sent))
    parts = [plural(len(files.sent), "file"), *merge_report.parts(records)]
    parts += [size(files.bytes + records.bytes), f"{pulled.seconds:.1f} s"]
    verb = "would pull" if dry_run else "pulled"
    print_lines(f"{verb} from {server.target}: {', '.join(parts)}")
    merge_report.replaced(files.replaced, "file", pulled.backup)
    merge_report.left(files.left, files.acting)
    merge_report.cleared(files.cleared, pulled.backup)
    unpulled = pulled.unpulled.items()
    say_first([f"not pulled: {files} (inv remote-fetch {job})" for job, files in unpulled], "jobs")
    if records.summary is not None:
        merge_report.remarks(records)
        print_lines("Look at them: mlflow ui")
    elif not records.unreadable:
        say("The target has no MLflow records yet.")
    merge_report.export(server.project, dry_run=dry_run)
    say_problems(pulled.problems, "pulled")
    merge_report.refuse_unreadable(records, str(server.target))
    return pulled.problems
