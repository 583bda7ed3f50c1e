"""`inv sync-push` and `inv sync-pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from remote.config import find_project
from remote.tasks.told import plural, say, size, told

if TYPE_CHECKING:
    from remote.operations.pull import Pulled
    from remote.operations.push import Pushed
    from remote.server import Server

TARGET_HELP = "where to: [user@]host:/dir or /dir (default: TARGET_DIR, else the last one)"


def server_of(target: str) -> Server:
    """The server that `target`, or TARGET_DIR, names."""
    from remote.server import Server

    project = find_project()
    server = Server.of(project, project.target(target))
    server.agent.bring_python = lambda theirs: _bring_python(server, theirs)
    return server


def _bring_python(server: Server, theirs: dict[str, str]) -> None:
    """Give a server a Python that can run the agent, where it has none."""
    from remote.operations import python

    python.bring(server, theirs, say=say)


@task(
    help={
        "target": TARGET_HELP,
        "dry-run": "show what would be sent and deleted, change nothing",
        "delete": "let this project delete files there that it did not put there itself",
    }
)
@told
def sync_push(c: Context, target: str = "", dry_run: bool = False, delete: bool = False) -> None:
    """Send the project to the server (honours .rsyncignore, never touches results)."""
    from remote.operations.push import push

    server = server_of(target)
    pushed = push(server, dry_run=dry_run, take_over=delete)
    if dry_run:
        for name in pushed.sent:
            print(f"send    {name}")
        for name in pushed.deleted:
            print(f"delete  {name}")
    print(push_line(server, pushed, dry_run=dry_run))
    if pushed.foreign:
        say(
            f"Nothing was deleted: {server.target} holds files that this project never pushed.\n"
            "If it is yours to mirror into: inv sync-push --delete"
        )


def push_line(server: Server, pushed: Pushed, *, dry_run: bool = False) -> str:
    """What a push did, in one line."""
    verb = "would push" if dry_run else "pushed"
    parts = [plural(len(pushed.sent), "file")]
    if not dry_run:
        parts += [size(pushed.bytes), f"{pushed.seconds:.1f} s"]
    kept = f" (old versions kept there in {pushed.backup})" if pushed.backup and not dry_run else ""
    parts.append(f"{len(pushed.deleted)} deleted{kept}")
    return f"{verb} to {server.target}: {', '.join(parts)}"


@task(help={"target": TARGET_HELP, "dry-run": "show which files would come, change nothing"})
@told
def sync_pull(c: Context, target: str = "", dry_run: bool = False) -> None:
    """Bring results and MLflow records back and merge them (twice changes nothing)."""
    from remote.operations.pull import pull

    server = server_of(target)
    if not dry_run:
        pull_and_tell(server)
        return
    pulled = pull(server, say=say, dry_run=True)
    for name in pulled.files:
        print(f"bring   {name}")
    print(f"would pull {plural(len(pulled.files), 'file')} from {server.target}")


def pull_and_tell(server: Server) -> None:
    """Pull, and say what that brought and what it kept."""
    from remote.operations.pull import pull

    _tell_pulled(server, pull(server, say=say))


def _tell_pulled(server: Server, pulled: Pulled) -> None:
    parts = [plural(len(pulled.files), "file")]
    records = pulled.records
    if records:
        parts.append(f"{plural(records.new_runs, 'new run')}")
        parts.append(f"{records.grown_runs} grown")
        parts.append(plural(len(pulled.artifacts), "artifact"))
    parts += [size(pulled.bytes), f"{pulled.seconds:.1f} s"]
    print(f"pulled from {server.target}: {', '.join(parts)}")
    if pulled.replaced:
        say(
            f"{plural(len(pulled.replaced), 'file')} here differed from the server's; "
            f"your version is kept in {pulled.backup}/"
        )
    if records:
        for conflict in records.conflicts:
            say(
                f"kept yours: {conflict.table} {conflict.key} {conflict.column} = {conflict.ours!r}"
                f" (there: {conflict.theirs!r})"
            )
        for refused in records.refused:
            say(f"refused: {refused.kind} {refused.id}: {refused.reason}")
        if records.left_out:
            say(f"not merged yet: {', '.join(records.left_out)}")
    if records is None:
        say("The target has no MLflow records yet.")
    else:
        print("Look at them: mlflow ui")


TASKS = (sync_push, sync_pull)
