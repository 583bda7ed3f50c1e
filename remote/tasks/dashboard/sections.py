"""What the screen shows, as lines for a width: GPUs, jobs, the queue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from remote.errors import LoginError
from remote.job.messages.gpus import Gpu
from remote.job.messages.jobs import JobSummary
from remote.job.messages.overview import OverviewAnswer
from remote.job.status import ENDED, RUNNING
from remote.operations.pool import Reply
from remote.session import TargetSession
from remote.tasks import tables
from remote.tasks.dashboard.drawing import bar, curve, fitted, plain

#: From so many letters on, bars and curves are long, and a job's outcome has a column of its own.
WIDE = 110

GPU_HEADER = ("TARGET", "GPU", "NAME", "LOAD", "MEMORY", "HELD BY")
JOB_HEADER = ("TARGET", "JOB", "STATE", "GPU", "TIME", "PROGRESS, OUTCOME")
WIDE_HEADER = (*JOB_HEADER[:-1], "PROGRESS", "METRIC", "WHAT, OUTCOME")
QUEUE_HEADER = ("TARGET", "PLACE", "WAITING", "USER", "WHY")
Replies = Sequence[Reply[OverviewAnswer]]


class ShownJob(NamedTuple):
    """A job of the list, and where it is."""

    server: TargetSession
    job: JobSummary
    now: float
    curve: Sequence[float]


def gpu_lines(replies: Replies, room: int, *, named: bool) -> list[Text]:
    """Every GPU: its load, its memory, and who holds it; `named` with its target's name."""
    rows = [
        [plain(reply.server.target.label), *_gpu_cells(gpu, room)]
        for reply in replies
        if reply.answer and reply.answer.gpus
        for gpu in reply.answer.gpus.gpus
    ]
    return _table(GPU_HEADER, rows, room, named=named, first="NAME")


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[Text]],
    room: int,
    *,
    named: bool,
    first: str = "",
) -> list[Text]:
    """Rows below their header, without the targets unless they are `named`; none without rows."""
    whole = [[plain(name, "bold") for name in header], *rows]
    return fitted([row[not named :] for row in whole], room, first=first) if rows else []


def remarks(servers: Sequence[TargetSession], replies: Replies, room: int) -> list[Text]:
    """A line for each server that gives no answer, or tells of no GPU."""
    by_key = {reply.server.key: reply for reply in replies}
    lines = [line for server in servers if (line := _remark(server, by_key.get(server.key)))]
    for line in lines:
        line.truncate(room, overflow="ellipsis")
    return lines


def _gpu_cells(gpu: Gpu, room: int) -> list[Text]:
    index, name, memory, load, holder = tables.gpu_row(gpu)
    width = 12 if room >= WIDE else 6
    loads = Text.assemble(bar((gpu.load or 0) / 100, width, "green"), f" {load:>5}")
    used, total = gpu.memory_used or 0, gpu.memory_total or 0
    memories = Text.assemble(bar(used / total if total else 0, width, "cyan"), f" {memory}")
    if gpu.fault:
        loads = plain(gpu.fault, "red")
    return [plain(index), plain(name), loads, memories, plain(tables.without_stamp(holder))]


def _remark(server: TargetSession, reply: Reply[OverviewAnswer] | None) -> Text | None:
    if reply is None:
        text = Text("asking …", "dim")
    elif reply.answer is None:
        hint = " (c logs in)" if isinstance(reply.error, LoginError) else ""
        text = plain(f"no answer{hint}: {reply.words}", "red")
    elif reply.answer.gpus is None or not reply.answer.gpus.gpus:
        text = plain(reply.answer.gpu_fault or "no GPU", "dim")
    else:
        return None
    return Text.assemble(plain(server.target.label), "  ", text)


def jobs_in_order(replies: Replies) -> list[ShownJob]:
    """Those that go on first, and of each kind the newest first."""
    shown = [
        ShownJob(reply.server, job, reply.answer.jobs.now, reply.answer.curves.get(job.id, ()))
        for reply in replies
        if reply.answer
        for job in reply.answer.jobs.jobs
    ]
    return sorted(shown, key=lambda each: (each.job.state in ENDED, -each.job.submitted))


def job_lines(shown: Sequence[ShownJob], room: int, *, named: bool) -> list[Text]:
    """A header, and a line for each of them; none without jobs."""
    ids = tables.short_ids([each.job.id for each in shown])
    header = WIDE_HEADER if room >= WIDE else JOB_HEADER
    rows = [_job_cells(each, name, room) for each, name in zip(shown, ids)]
    return _table(header, rows, room, named=named)


def _job_cells(each: ShownJob, name: str, room: int) -> list[Text]:
    job = each.job
    _, state, gpus, time, asked, _, outcome = tables.row(job, each.now)
    colour = tables.COLOURS.get(state)
    what = plain(tables.without_stamp(outcome or asked))
    cells = [
        plain(each.server.target.label),
        plain(name),
        plain(state, f"color({colour - 30})" if colour else ""),
        plain(gpus),
        plain(time),
    ]
    if room >= WIDE:
        return [*cells, _progress(job, 6), _metric(each, 12), what]
    progress = [part for part in (_progress(job, 4), _metric(each, 6)) if part]
    return [*cells, Text(" ").join(progress) if progress and not outcome else what]


def _progress(job: JobSummary, width: int) -> Text:
    if job.progress and job.progress.cells and job.state == RUNNING:
        cell, cells = job.progress.cell, job.progress.cells
        return Text.assemble(bar(cell / cells, width, "blue"), f" {cell}/{cells}")
    return plain(tables.runs_below(job) if job.children else "")


def _metric(each: ShownJob, width: int) -> Text:
    if not each.job.metrics:
        return Text()
    newest = each.job.metrics[0]
    value = plain(f" {newest.value:.4g} {newest.key}")
    return Text.assemble((curve(each.curve, width), "cyan"), value)


def queue_lines(replies: Replies, room: int, *, named: bool) -> list[Text]:
    """Who waits, in the order of each server's line, and why; none where nobody does."""
    rows = [row for reply in replies if reply.answer for row in _queue_rows(reply, reply.answer)]
    return _table(QUEUE_HEADER, rows, room, named=named)


def _queue_rows(reply: Reply[OverviewAnswer], answer: OverviewAnswer) -> list[list[Text]]:
    label = reply.server.target.label
    own = {job.id: job for job in answer.jobs.jobs if job.waiting and job.state not in ENDED}
    rows = []
    for place, waiting in enumerate(answer.gpus.waiting if answer.gpus else (), 1):
        job = own.pop(waiting.job, None)
        why = job.waiting if job else f"waiting for {tables.wanted(waiting)}"
        rows.append((label, f"{place}.", waiting.job or "no job", waiting.user, why))
    rows += [(label, "-", job.id, job.user, job.waiting) for job in own.values()]
    ids = tables.short_ids([row[2] for row in rows])
    return [
        [*map(plain, (*row[:2], name, row[3], tables.without_stamp(row[4])))]
        for name, row in zip(ids, rows)
    ]
