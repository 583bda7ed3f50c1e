"""The jobs of the target, running and ended: `inv remote-ps`, `remote-logs`, `remote-rm` and so on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import find_project
from remote.errors import JobError
from remote.job.status import FAILED, FINISHED, LOST
from remote.output import (
    draw_screen,
    duration,
    plural,
    print_lines,
    say,
    size,
)
from remote.tasks.declare import HELP, command
from remote.tasks.result import tell_now, tell_target
from remote.tasks.sync import pool_of, pull_and_tell, refuse_sweep, server_of, sweep_of
from remote.tasks.transfer_report import exit_unless_all

if TYPE_CHECKING:
    from remote.job.status import JobStatus

#: How many ended jobs `remote-ps` shows, and seconds between two looks of `--watch`.
NEWEST = 20
LOOK = 2.0


@command(
    positional=["job"],
    help={
        "follow": "show the log as it grows, until the job has ended",
        "tail": "only the last N lines",
        "since": "only the output of this period, such as 10m (to a few seconds)",
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
    """Show the log of a job.

    Example: inv remote-logs last --tail 20
    """
    from remote.operations.jobs.follow import follow_log
    from remote.options import seconds

    refuse_sweep(job)
    age = seconds(since, "--since") if since else 0
    followed = follow_log(server_of(target), job, wait=follow, tail=tail, since=age)
    if follow:
        exit_as(*followed, shown=True)


def exit_as(job: str, status: JobStatus, *, shown: bool = False) -> None:
    """Exit as the job did, unless it finished: with why, where its log was not `shown`."""
    if status.state == FINISHED:
        return
    # A log ends with the cause, unless nobody was left to write it there.
    words = "" if shown and status.state != LOST else f"{job} {status.in_words}"
    if words and status.state == FAILED:
        words += f"\nIts log: inv remote-logs {job} --tail 30"
    raise Exit(words, code=status.exit_code or 1)


@command(
    positional=["job"],
    help={
        "job": "details of one job: its id, a unique part of it, or `last`",
        "all": f"all jobs, not only the newest {NEWEST} and the running ones",
        "watch": "refresh the list every two seconds, until Ctrl-C",
    },
    json=True,
)
def remote_ps(
    c: Context,
    job: str = "",
    target: str = "",
    all: bool = False,
    watch: bool = False,
) -> None:
    """List the jobs of one or several targets: state, GPU, duration, progress and outcome.

    Example: inv remote-ps
    """
    from remote.job.messages.jobs import JobsRequest
    from remote.tasks.tables import job_details, job_table

    if sweep := sweep_of(job):
        from remote.tasks.sweep_jobs import list_sweep

        list_sweep(find_project(), sweep, watch=watch)
        return
    newest, named = 0 if all else NEWEST, (job,) if job else ()
    if servers := pool_of(target):
        from remote.tasks import pools

        pools.list_jobs(servers, newest=newest, job=job, watch=watch)
        return
    server = server_of(target)
    request = JobsRequest(key=server.key, newest=newest, jobs=named)
    while True:
        answer = server.agent.call(request)
        lines = [] if job else job_table(answer.jobs, answer.now)
        if job and answer.jobs:
            lines = job_details(answer.jobs[0], answer.now)
        tell_target(server, answer)
        if not watch:
            print_lines(*lines)
            break
        tell_now()
        draw_screen([f"{server.target}  {time.strftime('%H:%M:%S')}", *lines])
        time.sleep(LOOK)
    if not answer.jobs:
        say(f"No job on {server.target} yet. Start one: inv remote-run train.ipynb")


@command(positional=["job"])
def remote_attach(c: Context, job: str = "last", target: str = "") -> None:
    """Open the job's tmux session in this terminal; Ctrl-B D leaves it, and the job keeps running.

    Example: inv remote-attach last
    """
    from remote.operations.jobs.follow import attach

    refuse_sweep(job)
    attach(server_of(target), job)


@command(
    positional=["job"],
    help={"job": "a job's id, a part of it, or `last` (default: the pushed project)"},
)
def remote_code(c: Context, job: str = "", target: str = "") -> None:
    """Open a job's folder on the server in VS Code on this machine.

    Example: inv remote-code last
    """
    from remote.operations.editor import open_code

    refuse_sweep(job)
    open_code(server_of(target), job)


@command(positional=["job"], help={"pull": "pull when it has ended"}, json=True)
def remote_wait(c: Context, job: str = "last", target: str = "", pull: bool = False) -> None:
    """Wait until a job has ended; the exit code is the job's.

    Example: inv remote-wait last --pull
    """
    from remote.operations.jobs.follow import JobOutcome, follow_log

    if sweep := sweep_of(job):
        from remote.tasks.sweep_jobs import wait_for_sweep

        wait_for_sweep(find_project(), sweep, pull=pull)
        return
    server = server_of(target)
    name, status = follow_log(server, job, wait=True, silent=True)
    tell_target(server, JobOutcome(name, status=status))
    problems = pull_and_tell(server).problems if pull else []
    exit_as(name, status)
    print_lines(f"{name} {status.state}")
    exit_unless_all(problems, "pulled")


@command(
    positional=["job"],
    iterable=["job"],
    help={
        "job": "ids, unique parts of them, or `last` (default: the running job)",
        "all": "all running jobs, but not services such as JupyterLab",
    },
    json=True,
)
def remote_stop(
    c: Context, job: list[str] | None = None, target: str = "", all: bool = False
) -> None:
    """Stop jobs; their MLflow runs end as KILLED, and the output of a notebook so far is kept.

    Example: inv remote-stop last
    """
    from remote.job.messages.jobs import StopRequest

    if job and all:
        raise JobError(
            "--all stops all running jobs, so no job can be named with it.",
            "Leave one of them out.",
        )
    sweeps = [sweep for sweep in map(sweep_of, job or ()) if sweep]
    if sweeps:
        from remote.tasks.sweep_jobs import stop_sweep

        if len(job or ()) > 1:
            raise JobError(
                "A sweep can't be stopped together with other jobs.",
                f"inv remote-stop {sweeps[0].id}",
            )
        stop_sweep(find_project(), sweeps[0])
        return
    server, start = server_of(target), time.monotonic()
    answer = server.agent.call(StopRequest(key=server.key, jobs=tuple(job or ()), all=all))
    tell_target(server, answer)
    for ended in answer.stopped:
        took = f"{ended.status.state} after {duration(time.monotonic() - start)}"
        if ended.already:
            took = f"had ended already: {ended.status.in_words}"
        print_lines(f"{ended.id} {ended.problem or took}")
    if not answer.stopped:
        say(f"No job is running on {server.target}.")
    if any(ended.problem for ended in answer.stopped):
        raise Exit("Not all of them have ended.\nLook again: inv remote-ps", code=1)


@command(
    positional=["before", "after"],
    help={
        "before": "a job's id, a unique part of it, or `last`",
        "after": "the job to compare with (default: the last one; for the last one, the job before it)",
    },
    json=True,
)
def remote_diff(c: Context, before: str, after: str = "last", target: str = "") -> None:
    """Show how two jobs differ: options, packages, outcome, code.

    Example: inv remote-diff last
    """
    from remote.job.messages.old_jobs import DifferencesRequest
    from remote.tasks.tables import difference_lines

    for name in (before, after):
        refuse_sweep(name)
    server = server_of(target)
    request = DifferencesRequest(key=server.key, before=before, after=after)
    answer = server.agent.call(request)
    tell_target(server, answer)
    print_lines(*difference_lines(answer))


@command(
    positional=["job", "path"],
    iterable=["path"],
    help={
        "job": f"{HELP['job']}; or the beginning of a run's id",
        "path": "one of the files, a folder or a pattern (default: all)",
    },
    json=True,
)
def remote_fetch(
    c: Context, job: str = "last", path: list[str] | None = None, target: str = ""
) -> None:
    """Copy files that a job wrote outside the folders of a pull into data/results/fetched/JOB/.

    Of a run, copy the artifacts that a pull left on the server (PULL_ARTIFACTS), and check their sums.
    Example: inv remote-fetch last copy.toml
    """
    from remote.operations.fetch import fetch
    from remote.operations.fetch_artifacts import fetch_artifacts, run_here
    from remote.operations.sync import say_problems
    from remote.tasks import merge_report

    refuse_sweep(job)
    server = server_of(target)
    run = run_here(server.project, job)
    if run:
        brought = fetch_artifacts(server, run, path or ())
        tell_target(server, brought)
        merge_report.fetched(run, brought)
        exit_unless_all(brought.problems, "fetched")
        return
    fetched = fetch(server, job, path or ())
    tell_target(server, fetched)
    print_lines(*(f"fetched {name}" for name in sorted(fetched.files)))
    amount = f"{plural(len(fetched.files), 'file')}, {size(sum(fetched.files.values()))}"
    print_lines(f"{amount}, now in {fetched.folder}/")
    merge_report.replaced(fetched.replaced, "file", fetched.backup)
    merge_report.left(fetched.left, fetched.acting, f"inv remote-fetch {job} PATH")
    say_problems(fetched.problems, "fetched")
    exit_unless_all(fetched.problems, "fetched")
