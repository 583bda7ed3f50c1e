"""What Slurm has given to the worker that this process is: its nodes, and why it is asked to end."""

from __future__ import annotations

import os
from typing import Dict, NamedTuple

from remote.agent.launchers import sbatch, slurm, squeue
from remote.agent.processes import answer
from remote.job.paths import JobPaths

#: Ports for the nodes of a job to find each other by, in the place of one that is agreed upon.
PORTS = range(20000, 30000)


class Interruption(NamedTuple):
    """Why the worker has to end: for people and in one word, and whether Slurm starts it again."""

    cause: str
    reason: str
    is_requeued: bool


def is_ours() -> bool:
    """Whether Slurm started this worker."""
    return os.environ.get(sbatch.VARIABLE) == "slurm"


def restarts() -> int:
    """How often Slurm has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def begin() -> None:
    """Have what Slurm writes from now on be told from what it wrote of the job before."""
    os.write(2, f"{slurm.BEGINS}{os.uname().nodename}\n".encode())


def interruption(paths: JobPaths) -> Interruption:
    """Told by what Slurm writes into the job's output before it signals, which needs no controller."""
    shown = squeue.details(os.environ["SLURM_JOB_ID"], "")
    state = f"{shown.get('JobState', '')} {shown.get('Reason', '')}"
    cause, reason = (
        slurm.cause(slurm.written(paths.scheduler))
        or slurm.cause(state)
        or ("a signal ended its worker (SIGTERM)", "signal")
    )
    # A job that is to begin again counts that at once.
    is_requeued = int(shown.get("Restarts") or 0) > restarts()
    return Interruption(cause, reason, is_requeued or reason == "requeued")


def nodes() -> Dict[str, str]:
    """What the processes of a job on several nodes find each other by, as torchrun has it; nothing
    on one node."""
    if int(os.environ.get("SLURM_JOB_NUM_NODES") or 1) < 2:
        return {}
    number = int(os.environ["SLURM_JOB_ID"])
    names = answer(["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]) or ""
    hosts = names.split() or [os.uname().nodename]
    return {
        # The worker runs on the first of them.
        "MASTER_ADDR": hosts[0],
        "MASTER_PORT": str(PORTS[number % len(PORTS)]),
        "REMOTE_JOB_NODES": ",".join(hosts),
    }
