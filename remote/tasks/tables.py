"""Jobs, GPUs and differences as lines of text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from remote.job.state import ENDED, RUNNING
from remote.tasks.exits import duration, plural, size

HEADER: tuple[str, ...] = ("JOB", "STATE", "GPU", "TIME", "AT", "RESULT")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    padded = ([cell.ljust(width) for cell, width in zip(row, widths)] for row in rows)
    return ["  ".join(cells).rstrip() for cells in padded]


def print_json(value: Any) -> None:
    """All that is known, for scripts."""
    import json

    print(json.dumps(value, indent=1), flush=True)


def job_table(jobs: Sequence[dict[str, Any]], now: float) -> list[str]:
    """`now` is the server's clock, in seconds since 1970."""
    return table([HEADER, *(row(job, now) for job in jobs)])


def row(job: dict[str, Any], now: float) -> tuple[str, ...]:
    """One job's line."""
    gpus = ",".join(str(gpu["index"]) for gpu in job.get("gpus") or ())
    return job["id"], job["state"], gpus or "-", duration(_time(job, now)), _at(job), _outcome(job)


def job_details(job: dict[str, Any], now: float) -> list[str]:
    """All that matters of one job, a line each: what is not known is left out."""
    gpus = ", ".join(f"{gpu['index']}: {gpu['name']}" for gpu in job.get("gpus") or ())
    versions = [f"driver {job['driver']}"] if job.get("driver") else []
    versions += [f"CUDA {job['cuda']}"] if job.get("cuda") else []
    found = {
        "job": job["id"],
        "source": job.get("source"),
        "state": job["state"],
        "waiting": job.get("waiting"),
        "cause": job.get("cause"),
        "exit code": job.get("exit_code"),
        "attempt": job.get("attempt"),
        "submitted": _moment(job.get("submitted")),
        "began": _moment(job.get("running")),
        "ended": _moment(job.get("ended")),
        "time": duration(_time(job, now)),
        "at": _at(job),
        "host": job.get("host"),
        "GPUs": ", ".join([gpus, *versions]) if gpus else "",
        "peak memory": size(job["peak_memory"]) if job.get("peak_memory") else "",
        "peak GPU memory": f"{job['peak_gpu_memory']} MiB" if job.get("peak_gpu_memory") else "",
        "environment": job.get("environment"),
        "experiment": job.get("experiment"),
        "MLflow run": job.get("mlflow_run"),
        "result": job.get("result"),
    }
    shown = [(name, str(value)) for name, value in found.items() if value not in (None, "")]
    return table([(f"{name}:", value) for name, value in shown])


def _moment(seconds: float | None) -> str:
    """In this machine's time zone, by the server's clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def _time(job: dict[str, Any], now: float) -> float:
    """How long the job's code has run; of one that hasn't begun, how long it waits."""
    start = job.get("running") or job["submitted"]
    return float((job.get("ended") or now) - start)


def _at(job: dict[str, Any]) -> str:
    """How far it is: cell, runs of a sweep, newest metrics."""
    parts = []
    progress, children = job.get("progress"), job.get("children") or {}
    if progress and job["state"] not in ("queued", "preparing"):
        parts.append(f"cell {progress['cell']}/{progress['cells']}")
    if children:
        going = children.get("RUNNING", 0)
        done = sum(children.values()) - going
        parts.append(f"{plural(done, 'run')} done" + (f", {going} going" if going else ""))
    parts += [
        f"{each['key']}={each['value']:.4g} (step {each['step']})"
        for each in job.get("metrics") or ()
    ]
    return ", ".join(parts)


def _outcome(job: dict[str, Any]) -> str:
    if job["state"] not in ENDED and job["state"] != RUNNING:
        return str(job.get("waiting") or "")
    attempt = f"attempt {job['attempt']}" if job.get("attempt", 1) > 1 else ""
    parts = [job.get("cause"), attempt, job.get("result")]
    return ", ".join(part for part in parts if part)


def gpu_table(answer: dict[str, Any]) -> list[str]:
    """Every GPU of a server: memory, load, and who holds it."""
    rows = [("GPU", "NAME", "MEMORY", "LOAD", "HELD BY")]
    for gpu in answer["gpus"]:
        used = f"{gpu['memory_used'] / 1024:.1f}/{gpu['memory_total'] / 1024:.0f} GiB"
        load = "-" if gpu["load"] is None else f"{gpu['load']} %"
        rows.append((str(gpu["index"]), gpu["name"], used, load, _holder(gpu)))
    return table(rows)


def _holder(gpu: dict[str, Any]) -> str:
    holder = gpu["holder"]
    if holder and holder["job"]:
        return f"{holder['job']} ({holder['user']})" if holder["user"] else str(holder["job"])
    if holder:
        return f"a job of {holder['user'] or 'another user'}"
    strangers = [
        f"{each['user'] or 'somebody'}'s {each['name'] or 'process'} ({each['pid']})"
        for each in gpu["processes"]
    ]
    return ", ".join(strangers) or "-"


def difference_lines(found: dict[str, Any]) -> list[str]:
    """How two jobs differ, part by part."""
    lines = [f"{found['ids'][0]} -> {found['ids'][1]}"]
    titles = (("asked", "asked"), ("packages", "packages"), ("became", "became"))
    for title, part in titles:
        if found[part]:
            lines += ["", f"{title}:"]
            lines += [
                f"  {name}: {_shown(then)} -> {_shown(now)}" for name, then, now in found[part]
            ]
    if found["code"]:
        lines += ["", "code:", *found["code"]]
    if len(lines) == 1:
        lines.append("nothing differs")
    return lines


def _shown(value: Any) -> str:
    return "-" if value in (None, "") else str(value)
