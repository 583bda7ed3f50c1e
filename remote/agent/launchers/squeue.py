"""What Slurm says of jobs: squeue while it knows them, sacct where a site keeps accounts.

Slurm is asked for all jobs of an account at once, and seldom: whoever looks all the time is answered
by what was said before.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from remote.agent.processes import answer

#: States in which a job is over: its processes are gone from all nodes (squeue(1)).
OVER = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED"
    " TIMEOUT".split()
)

#: States in which it waits to begin, perhaps once more.
WAITING = frozenset("PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD".split())

#: Seconds that an answer is good for, at least and at most; between them it is good for a tenth of
#: the time that this process has been asking.
FRESH, STALE, PART = 0.5, 30.0, 0.1

#: How long a program of Slurm's may take, in seconds.
LIMIT = 30.0

_FIELDS = "%i|%T|%P|%S|%B|%r"


class QueuedJob(NamedTuple):
    """A job as Slurm sees it. `start` is when it is expected to begin, or began, in Slurm's words."""

    id: str
    state: str
    partition: str = ""
    start: str = ""
    node: str = ""
    reason: str = ""


class _Look(NamedTuple):
    """What Slurm said at a moment: nothing where `jobs` is None."""

    at: float
    jobs: Optional[Dict[str, QueuedJob]]


_looks: Dict[Tuple[str, str], _Look] = {}
_first: List[float] = []


def find(handle: Mapping[str, Any]) -> Tuple[Optional[QueuedJob], bool]:
    """A job, and whether Slurm answered: then one that it doesn't list is over."""
    place = str(handle.get("cluster", "")), str(handle.get("user", ""))
    job, asked = str(handle["job"]), time.monotonic()
    look = _look(*place, since=asked - _good_for(asked))
    if look.jobs is not None and job not in look.jobs and look.at < asked:
        # It may have been submitted since.
        look = _look(*place, since=asked)
    return (look.jobs or {}).get(job), look.jobs is not None


def forget() -> None:
    """Have Slurm asked anew, and often at first: something was changed."""
    _looks.clear()
    _first.clear()


def _good_for(now: float) -> float:
    _first[:] = _first or [now]
    return min(STALE, max(FRESH, PART * (now - _first[0])))


def _look(cluster: str, user: str, *, since: float) -> _Look:
    """All jobs of an account as of that moment or later."""
    last = _looks.get((cluster, user))
    if last is None or last.at < since:
        who = ["--user", user] if user else []
        argv = [*command("squeue", cluster), "-h", "-r", *who, "-t", "all", "-o", _FIELDS]
        at, said = time.monotonic(), answer(argv, limit=LIMIT)
        last = _looks[cluster, user] = _Look(at, None if said is None else parsed(said))
    return last


def parsed(said: str) -> Dict[str, QueuedJob]:
    """The lines of squeue, by the numbers of jobs."""
    rows = (line.split("|", 5) for line in said.splitlines())
    return {row[0]: QueuedJob(*row) for row in rows if len(row) == 6}


def position(job: QueuedJob, cluster: str) -> Optional[Tuple[int, int]]:
    """Which one a job is among those that wait in its partition, by priority, and of how many; None
    where Slurm doesn't tell."""
    argv = [*command("squeue", cluster), "-h", "-r", "-t", "PENDING", "-p", job.partition]
    said = answer([*argv, "-S", "-p,i", "-o", "%i"], limit=LIMIT)
    ids = (said or "").split()
    return (ids.index(job.id) + 1, len(ids)) if job.id in ids else None


def account(job: str, cluster: str) -> str:
    """The state in which a job has ended, as the site's accounts have it; empty without any."""
    argv = [*command("sacct", cluster), "-X", "-n", "-P", "-j", job, "-o", "State"]
    lines = (answer(argv, limit=LIMIT) or "").split("\n")
    # `CANCELLED by 1000`; one that was started again has a line for each time.
    words = [line.split()[0] for line in lines if line.strip()]
    return words[-1] if words else ""


def details(job: str, cluster: str) -> Dict[str, str]:
    """What scontrol shows of a job that Slurm still knows; empty where it doesn't."""
    said = answer([*command("scontrol", cluster), "show", "job", "-o", job], limit=LIMIT)
    return dict(re.findall(r"(\w+)=(\S*)", said or ""))


def command(program: str, cluster: str) -> List[str]:
    """A program of Slurm's, asked of one of several clusters."""
    return [program, *([f"--clusters={cluster}"] if cluster else [])]


def run(argv: Sequence[str], text: str = "") -> Tuple[int, str, str]:
    """Run a program of Slurm's with `text` on its standard input: exit code, output, complaint."""
    # Most calls of the agent start nothing, and start faster without.
    import subprocess

    # A job that is submitted by another job's code is no part of that one.
    env = {name: os.environ[name] for name in os.environ if name != "REMOTE_JOB_ID"}
    try:
        done = subprocess.run(
            argv, input=text.encode(), capture_output=True, timeout=LIMIT, env=env
        )
    except subprocess.TimeoutExpired:
        return 124, "", "Slurm gave no answer"
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    return done.returncode, out, err.strip()
