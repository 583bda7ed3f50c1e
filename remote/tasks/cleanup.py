"""`inv remote-rm`, `remote-prune`, `remote-diff`: old jobs on the target."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from remote.output import plural, print_lines, say, size
from remote.tasks.argparse_task import ArgparseTask
from remote.tasks.exits import exit_on_error
from remote.tasks.jobs import JOB_HELP
from remote.tasks.sync import TARGET_HELP, server_of

FORCE_HELP = "also what was not pulled"


@task(
    klass=ArgparseTask,
    positional=["job"],
    help={
        "job": "a job's id, a unique part of it, or `last`",
        "target": TARGET_HELP,
        "force": FORCE_HELP,
    },
)
@exit_on_error
def remote_rm(c: Context, job: str, target: str = "", force: bool = False) -> None:
    """Remove an ended job's folder there: log and snapshot. Its results and records stay."""
    from remote.operations.jobs import remove

    answer = remove(server_of(target), [job], force=force)
    for name in answer.removed:
        print_lines(f"removed {name}, {size(answer.bytes)} freed")


@task(
    help={
        "older": "how long ago they must have ended, such as 30d (the default)",
        "target": TARGET_HELP,
        "force": FORCE_HELP,
        "dry-run": "show what would go, change nothing",
    }
)
@exit_on_error
def remote_prune(
    c: Context, older: str = "30d", target: str = "", force: bool = False, dry_run: bool = False
) -> None:
    """Remove old jobs that were pulled, environments that nobody uses, and old backups."""
    from remote.operations.jobs import prune
    from remote.options import seconds

    answer = prune(server_of(target), seconds(older, "--older"), force=force, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    print_lines(*(f"{verb} job {name}" for name in answer.jobs))
    print_lines(*(f"{verb} environment {name}" for name in answer.environments))
    print_lines(*(f"{verb} backup {name}" for name in answer.backups))
    would = "would be " if dry_run else ""
    print_lines(f"{plural(len(answer.jobs), 'job')}, {size(answer.bytes)} {would}freed")
    if answer.kept:
        say(
            f"{plural(len(answer.kept), 'job')} of that age stayed, since not pulled yet: "
            "make sync-pull, or --force."
        )


@task(
    klass=ArgparseTask,
    positional=["before", "after"],
    help={"before": JOB_HELP, "after": "the job to compare it with", "target": TARGET_HELP},
)
@exit_on_error
def remote_diff(c: Context, before: str, after: str = "last", target: str = "") -> None:
    """Show how two jobs differ: what was asked, packages, what became of them, code."""
    from remote.operations.submit import differences
    from remote.tasks.tables import difference_lines

    print_lines(*difference_lines(differences(server_of(target), before, after)))


TASKS = (remote_rm, remote_prune, remote_diff)
