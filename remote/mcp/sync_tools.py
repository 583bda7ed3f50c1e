"""What a client can call about code, results and records; each answers what its command prints with `--json`.

The docstrings and descriptions are what a client's model reads.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from remote import api
from remote.answers import data_of, of_target
from remote.config import find_project
from remote.job.fields import NAME
from remote.mcp.reach import Answer, DryRun, Targets, error_in, of_all, pool, reach, refuse_silence
from remote.operations import pool_transfers
from remote.operations.sync import Pulled
from remote.session import TargetSession
from remote.tasks.merge_report import refuse_unreadable
from remote.tasks.pools import exit_unless_everywhere
from remote.tasks.sync import registry_asked
from remote.tasks.transfer_report import exit_unless_all


def push(target: Targets = "", dry_run: DryRun = False) -> Answer:
    """Send the project to the server: `inv sync-push`. `run` and `sweep` do so by themselves.

    The server's copy of the code becomes the same as the local one: files deleted locally are
    deleted on the server. Results of jobs are not touched. Old versions are kept on the server in
    the folder `backup`.
    """
    if servers := pool(target):
        replies = [*pool_transfers.push_all(servers, dry_run=dry_run)]
        refuse_silence(replies)
        failed = [reply for reply in replies if reply.error]
        problems = [
            each for reply in replies if reply.answer for each in reply.answer.files.problems
        ]
        end = partial(exit_unless_everywhere, servers, failed, problems, "pushed")
        return of_all(replies, dry_run=dry_run, error=error_in(target, end))
    there = reach(target)
    pushed = there.push(dry_run=dry_run)
    error = error_in(target, partial(exit_unless_all, pushed.files.problems, "pushed"))
    return of_target(there.session, pushed, dry_run=dry_run, error=error)


def pull(target: Targets = "", dry_run: DryRun = False) -> Answer:
    """Copy results here, and merge the server's MLflow records into the local ones: `inv sync-pull`.

    Local files that differ are replaced, and kept in the folder `backup`. A second pull changes nothing.
    """
    if servers := pool(target):
        registry = registry_asked(servers[0].project, flag=False)
        every = pool_transfers.pull_all(servers, dry_run=dry_run, registry=registry, theirs=False)
        replies = [*every]
        refuse_silence(replies)
        failed = [reply for reply in replies if reply.error]
        unread = [each for each in replies if each.answer and each.answer.records.unreadable]
        problems = [each for reply in replies if reply.answer for each in reply.answer.problems]
        end = partial(exit_unless_everywhere, servers, failed, problems, "pulled", unread)
        return of_all(replies, dry_run=dry_run, error=error_in(target, end))
    there = reach(target)
    registry = registry_asked(there.project, flag=False)
    pulled = there.pull(dry_run=dry_run, registry=registry)
    error = error_in(target, partial(_end_of_pull, there.session, pulled))
    return of_target(there.session, pulled, dry_run=dry_run, error=error)


def _end_of_pull(server: TargetSession, pulled: Pulled) -> None:
    refuse_unreadable(pulled.records, str(server.target))
    exit_unless_all(pulled.problems, "pulled")


def records(
    filter: Annotated[
        str,
        Field(max_length=NAME, description="as in MLflow's search: metrics.loss < 0.5"),
    ] = "",
    newest: Annotated[int, Field(ge=1, le=100, description="how many runs at most")] = 20,
) -> Answer:
    """The newest MLflow runs of the local store, with parameters and metrics; `pull` updates it."""
    table = api.records(find_project(), filter, newest=newest)
    # Not by to_json, which tells no more than ten places behind the point.
    rows = table.to_dict("records")
    return {
        "runs": [
            {key: _plain(value) for key, value in row.items() if _tells(key, value)} for row in rows
        ]
    }


def _tells(column: str, value: Any) -> bool:
    # What a run doesn't have is no number, or no time: neither is equal to itself.
    return value is not None and value == value and not column.startswith("tags.mlflow.")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else data_of(value)
