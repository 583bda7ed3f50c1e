"""The jobs of the target, going on and old: `inv remote-ps`, `remote-logs`, `remote-rm` and so on."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.errors import JobError
from remote.job.status import FINISHED
from remote.output import draw_screen, duration, plural, print_json, print_lines, say, size
from remote.tasks.declare import HELP, command
from remote.tasks.sync import pull_and_tell, server_of

if TYPE_CHECKING:
    from remote.job.messages.jobs import JobsAnswer
    from remote.operations.jobs import Followed
    from remote.session import TargetSession

#: How many ended jobs `remote-ps` shows, and seconds between two looks of `--watch`.
NEWEST = 20
LOOK = 2.0


@command(
    positional=["job"],
    help={
        "follow": "stay and show the log as it grows",
        "tail": "only the last N lines",
        "since": "only what came in this time, such as 10m (to a few seconds)",
    },
)
def remote_logs(
    c: Context,
    job: str = "last",
    target: str = "",
    follow: bool = False,
    tail: int = 0,
    since: str = "",
) -> None:
    """Show the log of a job."""
    from remote.options import seconds

    if tail < 0:
        raise JobError("--tail takes the number of lines to show.")
    age = seconds(since, "--since") if since else 0
    followed = follow_log(server_of(target), job, wait=follow, tail=tail, since=age)
    if follow:
        exit_as(followed)


def follow_log(
    server: TargetSession,
    job: str,
    *,
    wait: bool,
    tail: int = 0,
    since: int = 0,
    silent: bool = False,
) -> Followed:
    """Print a job's log, with `wait` until it has ended."""
    from remote.operations.jobs import follow

    try:
        return follow(server, job, wait=wait, tail=tail, since=since, silent=silent)
    except KeyboardInterrupt:
        if not wait:
            raise
        say("", f"The job goes on. Its log: inv remote-logs {job} --follow")
        raise Exit(code=130) from None


def exit_as(followed: Followed) -> None:
    """Exit as the job did, with a word on why, unless it finished."""
    status = followed.status
    if status.state != FINISHED:
        cause = f" ({status.cause})" if status.cause else ""
        raise Exit(f"{followed.id} {status.state}{cause}", code=status.exit_code or 1)


@command(
    positional=["job"],
    help={
        "job": "all about this one: its id, a unique part of it, or `last`",
        "all": f"all jobs, not only the newest {NEWEST} and those that go on",
        "watch": "stay, and draw it anew every two seconds",
    },
)
def remote_ps(
    c: Context,
    job: str = "",
    target: str = "",
    all: bool = False,
    watch: bool = False,
    json: bool = False,
) -> None:
    """List the jobs of the target: state, GPU, how long, how far, and why they ended."""
    from remote.operations.jobs import listing

    server = server_of(target)
    newest, named = 0 if all else NEWEST, [job] if job else []
    while True:
        answer = listing(server, newest=newest, jobs=named)
        if json:
            print_json(answer.jobs)
        elif watch:
            draw_screen([f"{server.target}  {time.strftime('%H:%M:%S')}", *_lines(answer, job)])
        else:
            print_lines(*_lines(answer, job))
        if not watch:
            break
        time.sleep(LOOK)
    if not answer.jobs:
        say(f"No job on {server.target} yet. Start one: inv remote-run train.ipynb")


def _lines(answer: JobsAnswer, job: str) -> list[str]:
    """A table of all jobs, or all about one."""
    from remote.tasks.tables import job_details, job_table

    if not answer.jobs:
        return []
    if job:
        return job_details(answer.jobs[0], answer.now)
    return job_table(answer.jobs, answer.now)


@command(positional=["job"])
def remote_attach(c: Context, job: str = "last", target: str = "") -> None:
    """Open the job's tmux session in this terminal: Ctrl-B D leaves it, the job goes on."""
    from remote.operations.jobs import attach_argv
    from remote.transport import process

    argv = attach_argv(server_of(target), job)
    if not sys.stdin.isatty():
        raise JobError("remote-attach needs a terminal.", f"inv remote-logs {job} --follow")
    env = {name: value for name, value in os.environ.items() if name != "TMUX"}
    process.become(argv, env=env)


@command(positional=["job"], help={"pull": "pull when it has ended"})
def remote_wait(c: Context, job: str = "last", target: str = "", pull: bool = False) -> None:
    """Wait until a job has ended; the exit code is the job's."""
    server = server_of(target)
    followed = follow_log(server, job, wait=True, silent=True)
    if pull:
        pull_and_tell(server)
    exit_as(followed)
    print_lines(f"{followed.id} {followed.status.state}")


@command(
    positional=["job"],
    help={"job": "its id, a unique part of it, or `last` (default: the one that goes on)"},
)
def remote_stop(c: Context, job: str = "", target: str = "") -> None:
    """End a job; its MLflow run ends as KILLED, and what its notebook did so far is kept."""
    from remote.operations.jobs import stop

    start = time.monotonic()
    answer = stop(server_of(target), job)
    state = answer.status.state
    if answer.already:
        print_lines(f"{answer.id} had ended already: {state}")
    else:
        print_lines(f"{answer.id} {state} after {duration(time.monotonic() - start)}")


@command(
    positional=["before", "after"],
    help={"before": HELP["job"], "after": "the job to compare it with"},
)
def remote_diff(c: Context, before: str, after: str = "last", target: str = "") -> None:
    """Show how two jobs differ: what was asked, packages, what became of them, code."""
    from remote.operations.jobs import differences
    from remote.tasks.tables import difference_lines

    print_lines(*difference_lines(differences(server_of(target), before, after)))


@command(positional=["job"], help={"job": "a job's id, a unique part of it, or `last`"})
def remote_rm(c: Context, job: str, target: str = "", force: bool = False) -> None:
    """Remove an ended job's folder there: log and snapshot. Its results and records stay."""
    from remote.operations.jobs import remove

    answer = remove(server_of(target), [job], force=force)
    for name in answer.removed:
        print_lines(f"removed {name}, {size(answer.bytes)} freed")


@command(
    help={
        "older": "how long ago they must have ended, such as 30d (the default)",
        "dry-run": "show what would go, change nothing",
    }
)
def remote_prune(
    c: Context, older: str = "30d", target: str = "", force: bool = False, dry_run: bool = False
) -> None:
    """Remove old jobs that were pulled, environments that nobody uses, and old backups."""
    from remote.operations.jobs import prune
    from remote.options import seconds

    answer = prune(server_of(target), seconds(older, "--older"), force=force, dry_run=dry_run)
    verb, would = ("would remove", "would be ") if dry_run else ("removed", "")
    print_lines(*(f"{verb} job {name}" for name in answer.jobs))
    print_lines(*(f"{verb} environment {name}" for name in answer.environments))
    print_lines(*(f"{verb} backup {name}" for name in answer.backups))
    print_lines(f"{plural(len(answer.jobs), 'job')}, {size(answer.bytes)} {would}freed")
    if answer.kept:
        say(
            f"{plural(len(answer.kept), 'job')} of that age stayed, since not pulled yet: "
            "make sync-pull, or --force."
        )
