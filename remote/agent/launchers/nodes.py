"""The GPUs of a Slurm partition's nodes, and who waits for them there: what a login node tells of cards
that it doesn't have itself."""

from __future__ import annotations

import re
from typing import Iterator, List, Sequence, Tuple

from remote.agent.launchers import sbatch, squeue
from remote.agent.processes import answer
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuHolder, WaitingJob

#: GRES as sinfo and squeue write them: `gpu:a100:4(S:0-1)`, `gpu:2`, `gres:gpu:1` (gres.conf(5)).
_GPU = re.compile(r"\bgpu:(?:([^:,()]+):)?(\d+)(?=[,(]|$)")

#: States of a node on which jobs can begin, now or once others have ended (sinfo(1), NODE STATE CODES);
#: the signs behind them tell of its power.
_USABLE = re.compile(r"(idle|mixed|allocated|completing|planned)[~#%^!@+]*")

#: Why a job waits that asks for what others have.
_IN_LINE = ("Resources", "Priority")

_NODES = "NodeList:255,Partition:255,StateLong:64,Gres:1024,GresUsed:1024"


def gpus(words: Sequence[str]) -> List[Gpu]:
    """All of the partition that these words for sbatch name, or of the usual one; raises JobError where
    Slurm doesn't answer."""
    said = _asked("sinfo", words, "-h", "-N", "-O", _NODES)
    rows = [line.split() for line in said.splitlines()]
    rows = [row for row in rows if len(row) == 5]
    # Slurm marks the usual partition by a star.
    usual = [row for row in rows if row[1].endswith("*")]
    return [gpu for row in usual or rows for gpu in _of_node(row[0], *row[2:])]


def _of_node(node: str, state: str, there: str, used: str) -> Iterator[Gpu]:
    """The GPUs of one node; which of them jobs have, nobody needs to know."""
    fault = "" if _USABLE.fullmatch(state) else f"its node is {state}"
    taken = dict(_counted(used))
    for kind, count in _counted(there):
        for index in range(count):
            yield Gpu(
                index=index,
                uuid=re.sub(r"[^A-Za-z0-9-]", "-", f"{node}-{kind}-{index}")[:128],
                name=kind or "GPU",
                node=node,
                memory_total=None,
                memory_used=None,
                driver="",
                fault=fault,
                holder=GpuHolder() if index < taken.get(kind, 0) else None,
            )


def _counted(text: str) -> List[Tuple[str, int]]:
    """The kinds of GPUs in a list of GRES, and how many there are of each."""
    return [(kind, int(count)) for kind, count in _GPU.findall(text)]


def waiting(words: Sequence[str]) -> List[WaitingJob]:
    """The jobs of anybody that wait there for GPUs which others have."""
    said = _asked("squeue", words, "-h", "-r", "-t", "PENDING", "-o", "%P|%u|%D|%b|%r")
    rows = [row for row in (line.split("|") for line in said.splitlines()) if len(row) == 5]
    return [
        WaitingJob(user=user, gpus=int(nodes) * sum(count for _, count in _counted(asked)))
        for _, user, nodes, asked, reason in rows
        if reason in _IN_LINE and nodes.isdigit() and _counted(asked)
    ]


def _asked(program: str, words: Sequence[str], *flags: str) -> str:
    partition = sbatch.value(words, "--partition", "-p")
    argv = squeue.command(program, sbatch.value(words, "--clusters", "-M"))
    said = answer([*argv, *flags, *(["-p", partition] if partition else [])], limit=squeue.LIMIT)
    if said is None:
        raise JobError(f"Slurm doesn't answer ({program}).", "Try it on the server: sinfo")
    return said
