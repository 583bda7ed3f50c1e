"""What several servers say, as one table: `inv remote-ps`, `remote-gpus` for `all` or a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from remote.errors import ConnectError, JobError
from remote.job.messages.gpus import GpusAnswer, GpusRequest
from remote.job.messages.jobs import JobsAnswer, JobsRequest
from remote.operations.pool import Reply, ask_all
from remote.output import draw_screen, plural, print_json, print_lines, say, table
from remote.session import TargetSession
from remote.tasks import tables

#: Seconds between two looks of `--watch`; one that didn't answer is asked again after so many looks.
LOOK, RETRY = 2.0, 15


def list_jobs(
    servers: Sequence[TargetSession], *, newest: int, job: str, watch: bool, json: bool
) -> None:
    """Show the jobs of all of them, or the one of that name, and who doesn't answer."""

    def ask(server: TargetSession) -> JobsAnswer:
        named = (job,) if job else ()
        return server.agent.call(JobsRequest(key=server.key, newest=newest, jobs=named))

    replies = ask_all(servers, ask)
    for look in range(1, 1 << 62):
        if job:
            replies = _having(job, replies)
        if json:
            print_json([_data(reply, ("jobs", "now")) for reply in replies])
        else:
            lines = _details(replies) if job else _job_lines(replies)
            title = f"{plural(len(servers), 'server')}  {time.strftime('%H:%M:%S')}"
            draw_screen([title, *lines]) if watch else print_lines(*lines)
        if not watch:
            break
        time.sleep(LOOK)
        replies = _again(replies, ask, everybody=look % RETRY == 0)
    _refuse_silence(replies)
    if not json and not any(reply.answer and reply.answer.jobs for reply in replies):
        say("No job on any of them yet. Start one: inv remote-run train.ipynb")


def list_gpus(servers: Sequence[TargetSession], *, json: bool) -> None:
    """Show the GPUs of all of them, who waits for some, and who doesn't answer."""

    def ask(server: TargetSession) -> GpusAnswer:
        leases = server.project.settings.get("REMOTE_LEASES", "")
        return server.agent.call(GpusRequest(key=server.key, leases=leases))

    replies = ask_all(servers, ask)
    if json:
        print_json([_data(reply, ("gpus", "waiting", "now", "cuda")) for reply in replies])
    else:
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
    raise JobError(f"No job {job!r} on any of them, as far as they answer.", "inv remote-ps")


def _again(
    replies: Sequence[Reply[Any]], ask: Callable[[TargetSession], Any], *, everybody: bool
) -> list[Reply[Any]]:
    """Ask once more; who gave no answer costs his limit again only where `everybody` is asked."""
    asked = [reply.server for reply in replies if everybody or reply.answer]
    new = {reply.server.key: reply for reply in ask_all(asked, ask)}
    return [new.get(reply.server.key, reply) for reply in replies]


def _data(reply: Reply[Any], names: Sequence[str]) -> dict[str, Any]:
    """One server's part of the JSON."""
    answer = {name: getattr(reply.answer, name) for name in names} if reply.answer else {}
    return {
        "target": reply.server.target.label,
        "address": str(reply.server.target),
        "error": reply.words or None,
        **answer,
    }


def _refuse_silence(replies: Sequence[Reply[Any]]) -> None:
    if not any(reply.answer for reply in replies):
        raise ConnectError("None of them gave an answer.", "Each one's line says why.")
