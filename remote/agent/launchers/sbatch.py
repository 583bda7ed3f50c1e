"""The words and the script that sbatch gets for a job. Pure."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import List, Sequence, Tuple

from remote.errors import JobError
from remote.job.spec import JobSpec

#: Tells a worker, and whatever it starts, by which launcher it runs.
VARIABLE = "REMOTE_LAUNCHER"

#: Options by which a user asks for GPUs, time, nodes and CPUs: these go before what a job asks.
_GPUS = ("--gres", "--gpus", "--gpus-per-node", "--gpus-per-task", "--gpus-per-socket", "-G")
_TIME = ("--time", "-t")
_NODES = ("--nodes", "-N")
_CPUS = ("--cpus-per-task", "-c")

#: What Slurm answers a job that was accepted: its number, and the cluster where it has several.
_ACCEPTED = re.compile(r"^(\d+)(?:;([A-Za-z0-9_.-]+))?$", re.MULTILINE)


def words(
    job: JobSpec, name: str, *, root: Path, output: str, gpu: str, after: str, count: int = 0
) -> List[str]:
    """sbatch's own words for a job that is called `name` there, or for an array of so many.

    `gpu` is what its GPUs are called, `after` the Slurm job that is to finish before.
    What the user's words ask for themselves goes before what the job asks; where the output goes,
    and what the job is called, is the toolkit's alone.
    """
    own = [*job.sbatch, *_resources(job, gpu)]
    if after:
        own += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]
    fixed = [f"--job-name={name}", f"--output={output}", f"--error={output}"]
    fixed += [f"--array=0-{count - 1}"] if count else []
    # A job that Slurm starts again goes on writing.
    fixed += ["--open-mode=append", "--input=/dev/null", f"--chdir={root}", "--parsable"]
    return ["sbatch", *own, *fixed]


def _resources(job: JobSpec, gpu: str) -> List[str]:
    """GPUs of each node, CPUs, nodes, and the time limit of all attempts together."""
    asked: List[str] = []
    if gpu and not has(job.sbatch, _GPUS):
        asked.append(f"--gres={gpu}:{job.gpus or 1}")
    if job.cpus and not has(job.sbatch, _CPUS):
        asked.append(f"--cpus-per-task={job.cpus}")
    if job.nodes and not has(job.sbatch, _NODES):
        asked += [f"--nodes={job.nodes}", "--ntasks-per-node=1"]
    if job.timeout and not has(job.sbatch, _TIME):
        asked.append(f"--time={math.ceil(job.timeout * (1 + job.retries) / 60)}")
    return asked


def has(given: Sequence[str], options: Sequence[str]) -> bool:
    """Whether one of these options, each long or short, is among words for sbatch."""
    long = tuple(f"{option}=" for option in options if option.startswith("--"))
    short = tuple(option for option in options if not option.startswith("--"))
    return any(word in options or word.startswith(long) or _is_short(word, short) for word in given)


def _is_short(word: str, options: Tuple[str, ...]) -> bool:
    """Whether it is a short option together with its value: -N2."""
    return not word.startswith("--") and word.startswith(options)


def value(given: Sequence[str], option: str, short: str) -> str:
    """What the last such option among words for sbatch says; empty without one."""
    found = ""
    for word, following in zip(given, [*given[1:], ""]):
        if word in (option, short):
            found = following
        elif word.startswith(f"{option}="):
            found = word[len(option) + 1 :]
        elif _is_short(word, (short,)):
            found = word[len(short) :]
    return found


def escaped(path: Path) -> str:
    """A path in which sbatch replaces nothing (%j is a job's number)."""
    return str(path).replace("\\", "\\\\").replace("%", "%%")


def script(argv: Sequence[str]) -> str:
    """What a node runs: the worker itself, so that a signal for the script is the worker's."""
    command = " ".join(shlex.quote(word) for word in argv)
    # What it shows in its terminal is the job's log, which is a file already.
    return f"#!/bin/sh\n{VARIABLE}=slurm exec {command} >/dev/null\n"


def array_script(argv: Sequence[str], ids: Sequence[str]) -> str:
    """The same for an array: `argv` lacks the id of the job, which the number of the task decides."""
    cases = "".join(f"{number}) job={shlex.quote(job)};; " for number, job in enumerate(ids))
    command = " ".join(shlex.quote(word) for word in argv)
    choice = f'case "$SLURM_ARRAY_TASK_ID" in {cases}esac'
    return f'#!/bin/sh\n{choice}\n{VARIABLE}=slurm exec {command} "$job" >/dev/null\n'


def accepted(said: str) -> List[str]:
    """The number of the job that sbatch has told, and its cluster, which may be empty."""
    found = _ACCEPTED.findall(said)
    if not found:
        raise JobError(f"sbatch printed no job number: {said.strip()[:200]!r}")
    return list(found[-1])
