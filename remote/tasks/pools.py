"""What tasks do where `all` or a group is the target: one table, or a line for each server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit

from remote.errors import ConnectError, JobError, StoreError
from remote.job.messages.jobs import JobsAnswer, JobsRequest
from remote.job.spec import JobSpec
from remote.job.status import FINISHED, JobStatus
from remote.operations.placement import gpus_of
from remote.operations.pool import Reply, as_they_come, ask_all
from remote.output import draw_screen, plural, print_lines, say, saying_of, table
from remote.session import TargetSession
from remote.tasks import merge_report, tables
from remote.tasks.result import tell, tell_now
from remote.tasks.transfer_report import NOT_ALL, exit_unless_all, tell_pulled, tell_pushed
from remote.transport.rsync_problems import Problem

if TYPE_CHECKING:
    from remote.operations.sync import Pulled

#: Seconds between two looks of `--watch`; one that didn't answer is asked again after so many looks.
LOOK, RETRY = 2.0, 15


def list_jobs(servers: Sequence[TargetSession], *, newest: int, job: str, watch: bool) -> None:
    """Show the jobs of all of them, or the one of that name, and who doesn't answer."""

    def ask(server: TargetSession) -> JobsAnswer:
        named = (job,) if job else ()
        return server.agent.call(JobsRequest(key=server.key, newest=newest, jobs=named))

    replies = ask_all(servers, ask)
    for look in range(1, 1 << 62):
        if job:
            replies = _having(job, replies)
        tell(targets=replies)
        lines = _details(replies) if job else _job_lines(replies)
        if not watch:
            print_lines(*lines)
            break
        tell_now()
        title = f"{plural(len(servers), 'server')}  {time.strftime('%H:%M:%S')}"
        draw_screen([title, *lines])
        time.sleep(LOOK)
        replies = _again(replies, ask, everybody=look % RETRY == 0)
    _refuse_silence(replies)
    if not any(reply.answer and reply.answer.jobs for reply in replies):
        say("No job on any of them yet. Start one: inv remote-run train.ipynb")


def list_gpus(servers: Sequence[TargetSession]) -> None:
    """Show the GPUs of all of them, who waits for some, and who doesn't answer."""

    replies = ask_all(servers, gpus_of)
    tell(targets=replies)
    rows: list[tuple[str, ...]] = [("TARGET", *tables.GPU_HEADER)]
    for reply in replies:
        gpus = reply.answer.gpus if reply.answer else ()
        nothing = "no GPU" if reply.answer else f"no answer: {reply.words}"
        lines = [tables.gpu_row(gpu) for gpu in gpus] or [("-", nothing, "", "", "")]
        rows += _led_by(reply, lines)
    print_lines(*table(rows))
    for reply in replies:
        waiting = tables.waiting_lines(reply.answer) if reply.answer else []
        print_lines(*(f"{reply.server.target.label}: {line}" for line in waiting))
    _refuse_silence(replies)


def push_all(servers: Sequence[TargetSession], *, dry_run: bool, take_over: bool) -> None:
    """Push to all of them, and say of each what was done there."""
    from remote.operations import pool_transfers

    replies, failed, problems = list[Reply[Any]](), [], list[Problem]()
    for reply in pool_transfers.push_all(servers, dry_run=dry_run, take_over=take_over):
        replies.append(reply)
        tell(targets=replies, dry_run=dry_run)
        with saying_of(reply.server.target.label):
            if reply.answer:
                tell_pushed(reply.server, reply.answer, dry_run=dry_run)
                problems += reply.answer.files.problems
            else:
                say(*str(reply.error).split("\n"))
                failed.append(reply)
    exit_unless_everywhere(servers, failed, problems, "pushed")


def pull_all(
    servers: Sequence[TargetSession],
    *,
    dry_run: bool,
    registry: bool,
    theirs: bool,
    only: Sequence[str] = (),
    part: str = "targets",
) -> None:
    """Pull from all of them, and say of each what came; it is this `part` of the task's result."""
    from remote.operations.pool_transfers import pull_all
    from remote.operations.sync import say_problems

    replies, failed, problems = list[Reply[Any]](), [], list[Problem]()
    unread = list[Reply[Any]]()
    for reply in pull_all(servers, dry_run=dry_run, registry=registry, theirs=theirs, only=only):
        replies.append(reply)
        tell(**{part: replies}, dry_run=dry_run, export=None)
        with saying_of(reply.server.target.label):
            if not reply.answer:
                say(*str(reply.error).split("\n"))
                failed.append(reply)
                continue
            pulled = _without_known(servers, reply.server, reply.answer)
            tell_pulled(reply.server, pulled, dry_run=dry_run)
            say_problems(pulled.problems, "pulled")
            merge_report.on_server(pulled.records, str(reply.server.target))
            problems += pulled.problems
            try:
                merge_report.refuse_unreadable(pulled.records, str(reply.server.target))
            except StoreError as error:
                say(*str(error).split("\n"))
                unread.append(reply)
    tell(export=merge_report.export(servers[0].project, dry_run=dry_run))
    if len(failed) < len(servers):
        print_lines("Look at them: mlflow ui")
    exit_unless_everywhere(servers, failed, problems, "pulled", unread)


def _without_known(
    servers: Sequence[TargetSession], server: TargetSession, pulled: Pulled
) -> Pulled:
    """Say in one line for each other server which records came from there before; the rest."""
    from remote.operations.pool_transfers import came_from

    summary = pulled.records.summary
    if summary is None or not summary.refused:
        return pulled
    others = [other for other in servers if other.key != server.key]
    owners = came_from(others, [(record.kind, record.id) for record in summary.refused])
    for owner, count in Counter(owners.values()).items():
        say(
            f"{plural(count, 'record')} came from {owner} before, and is not changed:"
            f" inv sync-pull --target {server.target.label} --theirs takes these."
        )
    rest = tuple(each for each in summary.refused if (each.kind, each.id) not in owners)
    return replace(pulled, records=replace(pulled.records, summary=summary.replace(refused=rest)))


def exit_unless_everywhere(
    servers: Sequence[TargetSession],
    failed: Sequence[Reply[Any]],
    problems: Sequence[Problem],
    verb: str,
    unread: Sequence[Reply[Any]] = (),
) -> None:
    """Exit with NOT_ALL where a server gave no answer, or a path could not be moved, or records (of
    those that are `unread`) not be read."""
    if len(failed) == len(servers):
        raise ConnectError(f"Nothing was {verb}.", "Each server's line says why.")
    names = [reply.server.target.label for reply in failed]
    names += [f"records of {reply.server.target.label}" for reply in unread]
    if names:
        raise Exit(f"All but {', '.join(names)} was {verb}.", code=NOT_ALL)
    exit_unless_all(problems, verb)


def set_up_all(servers: Sequence[TargetSession], job: JobSpec) -> None:
    """Push to all of them, and have each make the job's environment; says of each how that ended."""
    from remote.operations.jobs.follow import JobOutcome, follow_log
    from remote.operations.jobs.submit import push_and_submit_locked
    from remote.operations.transfers.push_guard import push_lock

    with push_lock(servers[0].project):
        started = ask_all(servers, lambda server: push_and_submit_locked(server, job), limit=None)
    failed: list[Reply[Any]] = [reply for reply in started if reply.error]
    ended: list[Reply[Any]] = [*failed]
    ids = {reply.server.key: reply.answer for reply in started if reply.answer}

    def wait(server: TargetSession) -> tuple[str, JobStatus]:
        return follow_log(server, ids[server.key].id, wait=True, silent=True)

    for reply in as_they_come([each.server for each in started if each.answer], wait, limit=None):
        label = reply.server.target.label
        name, status = reply.answer or ("", None)
        is_ready = ids[reply.server.key].environment_ready
        outcome = JobOutcome(name, is_ready, status) if status else None
        ended.append(Reply(reply.server, outcome, reply.error))
        if status and status.state == FINISHED:
            print_lines(f"{label}: the environment {'exists already' if is_ready else 'is ready'}")
            continue
        words = f"{name} {status.in_words}" if status else reply.words
        say(f"{label}: {words}", *([f"inv remote-logs --target {label} {name}"] if name else []))
        failed.append(reply)
    tell(targets=ended)
    for each in started:
        if each.error:
            say(f"{each.server.target.label}: {each.words}")
    exit_unless_everywhere(servers, failed, [], "set up")


def _job_lines(replies: Sequence[Reply[JobsAnswer]]) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for reply in replies:
        if reply.answer:
            now = reply.answer.now
            rows += _led_by(reply, [tables.row(job, now) for job in reply.answer.jobs])
        else:
            rows += _led_by(reply, [("-", "no answer", "", "", "", "", reply.words)])
    return tables.job_lines(("TARGET", *tables.JOB_HEADER), rows)


def _details(replies: Iterable[Reply[JobsAnswer]]) -> list[str]:
    lines = []
    for reply in replies:
        for job in reply.answer.jobs if reply.answer else ():
            assert reply.answer
            lines += [f"target: {reply.server.target.label}"]
            lines += tables.job_details(job, reply.answer.now)
    return lines


def _led_by(reply: Reply[Any], rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(reply.server.target.label, *row) for row in rows]


def _having(job: str, replies: Sequence[Reply[JobsAnswer]]) -> list[Reply[JobsAnswer]]:
    """Those that have the job; raises JobError where none has it, or nobody could tell."""
    having = [reply for reply in replies if reply.answer]
    if having:
        return having
    for reply in replies:
        if not isinstance(reply.error, JobError):
            say(f"{reply.server.target.label}: {reply.words}")
    raise JobError(
        f"No job {job!r} on any of them, as far as they answer.", "inv remote-ps lists them."
    )


def _again(
    replies: Sequence[Reply[Any]], ask: Callable[[TargetSession], Any], *, everybody: bool
) -> list[Reply[Any]]:
    """Ask once more; who gave no answer costs his limit again only where `everybody` is asked."""
    asked = [reply.server for reply in replies if everybody or reply.answer]
    new = {reply.server.key: reply for reply in ask_all(asked, ask)}
    return [new.get(reply.server.key, reply) for reply in replies]


def _refuse_silence(replies: Sequence[Reply[Any]]) -> None:
    if not any(reply.answer for reply in replies):
        raise ConnectError("No server answered.", "Each server's line says why.")
