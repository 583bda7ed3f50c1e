"""Jobs, GPUs and differences as lines of text."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

from remote.job.messages.gpus import Gpu, GpuHolder, GpusAnswer, WaitingJob
from remote.job.messages.jobs import JobSummary
from remote.job.messages.old_jobs import DifferencesAnswer
from remote.job.status import (
    ENDED,
    FAILED,
    FINISHED,
    LOST,
    PREPARING,
    QUEUED,
    RUNNING,
    STOPPED,
    UNKNOWN,
)
from remote.output import duration, fitted_table, plural, size, table

JOB_HEADER = ("JOB", "STATE", "GPU", "TIME", "WHAT", "AT", "RESULT")
#: The colours of states: red, green, blue, yellow, magenta.
COLOURS = {FAILED: 31, LOST: 31, FINISHED: 32, RUNNING: 34, QUEUED: 33, PREPARING: 33, STOPPED: 35}

#: What an id begins with: the moment of its submission.
_STAMP = re.compile(r"\b[0-9]{8}-[0-9]{6}-")

GPU_HEADER = ("GPU", "NAME", "MEMORY", "LOAD", "HELD BY")


def job_table(jobs: Sequence[JobSummary], now: float) -> list[str]:
    """All of them, none where there is no job; `now` is the server's clock, seconds since 1970."""
    return job_lines(JOB_HEADER, [row(job, now) for job in jobs])


def job_lines(header: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of jobs below a header that has the columns of JOB_HEADER; none where there is no job.

    On a terminal, a job is called by the end of its id, which commands take, too.
    """
    if sys.stdout.isatty():
        place = header.index("JOB")
        short = short_ids([cells[place] for cells in rows])
        rows = [(*cells[:place], name, *cells[place + 1 :]) for name, cells in zip(short, rows)]
    give_way = [header.index(name) for name in ("WHAT", "AT")]
    return fitted_table([header, *rows], give_way, COLOURS) if rows else []


def short_ids(ids: Sequence[str]) -> list[str]:
    """The ends of ids, by which commands find a job too; the whole one where that isn't unique."""
    ends = [without_stamp(each) for each in ids]
    return [end if ends.count(end) == 1 else each for end, each in zip(ends, ids)]


def without_stamp(text: str) -> str:
    """A text in which ids are called by their ends alone."""
    return _STAMP.sub("", text)


def row(job: JobSummary, now: float) -> tuple[str, ...]:
    """One job's line."""
    gpus = ",".join(str(gpu.index) for gpu in job.gpus)
    outcome = job.waiting
    if job.state in (RUNNING, UNKNOWN, *ENDED):
        attempt = f"attempt {job.attempt}" if job.attempt > 1 else ""
        outcome = ", ".join(part for part in (job.cause, attempt, job.result) if part)
    time = duration(_time(job, now))
    return job.id, job.state, gpus or "-", time, job.asked, _at(job), outcome


def job_details(job: JobSummary, now: float) -> list[str]:
    """All that matters of one job, a line each: what is not known is left out."""
    gpus = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in job.gpus)
    versions = [f"driver {job.driver}"] if job.driver else []
    versions += [f"CUDA {job.cuda}"] if job.cuda else []
    facts = {
        "job": job.id,
        "what": job.asked,
        "parameters": ", ".join(f"{name}={value}" for name, value in job.parameters.items()),
        "folder": job.cwd,
        "variables": " ".join(job.variables),
        "retries": job.retries or None,
        "timeout": duration(job.timeout) if job.timeout else "",
        "after": job.after,
        "state": job.state,
        "waiting": job.waiting,
        "cause": job.cause,
        "exit code": job.exit_code,
        "attempt": job.attempt or None,
        "submitted": _moment(job.submitted),
        "began": _moment(job.running),
        "ended": _moment(job.ended),
        "time": duration(_time(job, now)),
        "at": _at(job),
        "host": job.host,
        "GPUs": ", ".join([gpus, *versions]) if gpus else "",
        "peak memory": size(job.peak_memory) if job.peak_memory else "",
        "peak GPU memory": f"{job.peak_gpu_memory} MiB" if job.peak_gpu_memory else "",
        "environment": job.environment,
        "experiment": job.experiment,
        "MLflow run": job.mlflow_run,
        "result": job.result,
        "not pulled": job.unpulled,
    }
    shown = [(name, str(value)) for name, value in facts.items() if value not in (None, "")]
    return table([(f"{name}:", value) for name, value in shown])


def _moment(seconds: float | None) -> str:
    """In this machine's time zone, by the server's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def _time(job: JobSummary, now: float) -> float:
    """How long the job's code has run; of one that hasn't begun, how long it waits."""
    return (job.ended or now) - (job.running or job.submitted)


def _at(job: JobSummary) -> str:
    """How far it is: cell, runs of a sweep, newest metrics."""
    parts = []
    if job.progress and job.state not in (QUEUED, PREPARING):
        parts.append(f"cell {job.progress.cell}/{job.progress.cells}")
    if job.children:
        parts.append(runs_below(job))
    parts += [f"{metric.key}={metric.value:.4g} (step {metric.step})" for metric in job.metrics]
    return ", ".join(parts)


def runs_below(job: JobSummary) -> str:
    """How many runs of a sweep there are: `3 runs done, 1 going`."""
    going = job.children.get("RUNNING", 0)
    done = sum(job.children.values()) - going
    return f"{plural(done, 'run')} done" + (f", {going} running" if going else "")


def gpu_table(answer: GpusAnswer) -> list[str]:
    """Every GPU of a server: memory, load, and who holds it."""
    return table([GPU_HEADER, *map(gpu_row, answer.gpus)])


def gpu_row(gpu: Gpu) -> tuple[str, ...]:
    """One GPU's line."""
    used = "?" if gpu.memory_used is None else f"{gpu.memory_used / 1024:.1f}"
    total = "?" if gpu.memory_total is None else f"{gpu.memory_total / 1024:.0f}"
    load = "-" if gpu.load is None else f"{gpu.load} %"
    index = f"{gpu.node} {gpu.index}".strip()
    memory = "-" if gpu.node else f"{used}/{total} GiB"
    return index, gpu.name, memory, load, _holder(gpu)


def waiting_lines(answer: GpusAnswer) -> list[str]:
    """The line for a server's GPUs."""
    lines = []
    for place, job in enumerate(answer.waiting, 1):
        lines.append(f"waiting, {place}.: {job.job or 'no job'} ({job.user}) for {wanted(job)}")
    return lines


def wanted(job: WaitingJob) -> str:
    """What a job in the line waits for."""
    return plural(job.gpus, "GPU") if job.share == 1 else f"{job.share:g} of a GPU"


def _holder(gpu: Gpu) -> str:
    if gpu.sharers:
        return ", ".join(f"{each.share:g} {_job_of(each)}" for each in gpu.sharers)
    if gpu.holder:
        return "a job" if gpu.node else _job_of(gpu.holder)
    strangers = [
        f"{process.user or 'somebody'}'s {process.name or 'process'} ({process.pid})"
        for process in gpu.processes
    ]
    return ", ".join(strangers) or gpu.fault or "-"


def _job_of(holder: GpuHolder) -> str:
    if holder.job:
        return f"{holder.job} ({holder.user})" if holder.user else holder.job
    return f"a job of {holder.user or 'another user'}"


def difference_lines(answer: DifferencesAnswer) -> list[str]:
    """How two jobs differ, part by part."""
    lines = [" -> ".join(answer.ids)]
    parts = {"asked": answer.asked, "packages": answer.packages, "became": answer.became}
    for title, changes in parts.items():
        lines += ["", f"{title}:"] if changes else []
        for change in changes:
            before, after = (
                "-" if value in (None, "") else value for value in (change.before, change.after)
            )
            lines.append(f"  {change.name}: {before} -> {after}")
    if answer.code:
        lines += ["", "code:", *answer.code]
    if len(lines) == 1:
        lines.append("nothing differs")
    return lines
