"""What is asked of a job, and `job.json`: the same, once a target has accepted it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from remote.errors import JobError
from remote.job.fields import (
    any_json,
    flag,
    integer,
    list_of,
    load,
    mapping_of,
    nested,
    optional,
    text,
)
from remote.job.limits import (
    HEX,
    MANY,
    NAME,
    VALUE,
    WORD,
    job_id,
    line,
    moment,
    run_id,
)
from remote.job.status import ProcessId


@dataclass(frozen=True)
class Git:
    """What git said of the code as it was pushed. Without git, `commit` is empty."""

    commit: str = field(default="", metadata=text(64, HEX))
    branch: str = field(default="", metadata=text(NAME))
    dirty: bool = field(default=False, metadata=flag())
    """Whether something differed from the commit."""


@dataclass(frozen=True)
class JobSpec:
    """What is asked of a job: its program, what it is given, what it needs, how it is recorded."""

    kind: str = field(metadata=text(32, WORD))
    """Its row in remote.job.kinds, which tells how `source` is run."""
    source: str = field(metadata=text(NAME))
    """The program: a path below the project's root, a module's name; empty for a command line."""
    name: str = field(metadata=text(NAME))

    parameters: Mapping[str, Any] = field(
        default_factory=dict, metadata=mapping_of(any_json(VALUE), MANY)
    )
    """Those that were given; what a program is given none of has the value in `defaults`."""
    defaults: Mapping[str, Any] = field(
        default_factory=dict, metadata=mapping_of(any_json(VALUE), MANY)
    )
    arguments: Tuple[str, ...] = field(default=(), metadata=list_of(text(VALUE), MANY))
    """The words after the program's own; of a command, all of them."""
    env: Mapping[str, str] = field(default_factory=dict, metadata=mapping_of(text(VALUE), MANY))
    tags: Mapping[str, str] = field(default_factory=dict, metadata=mapping_of(text(VALUE), MANY))
    experiment: str = field(default="", metadata=text(NAME))
    continues_run: bool = field(default=True, metadata=flag())
    """Whether the program's code goes on with the job's MLflow run; its runs are children else."""
    record: bool = field(default=True, metadata=flag())
    """Whether the job gets an MLflow run."""

    output: str = field(default="", metadata=text(NAME))
    """What an executed notebook is called, without time and suffix."""
    language: str = field(default="python", metadata=text(NAME))
    """A notebook's."""
    hydra: bool = field(default=False, metadata=flag())
    """Whether a script or module is a Hydra application."""
    entry_point: str = field(default="", metadata=text(NAME))
    """An MLproject's."""
    service: str = field(default="", metadata=text(32, WORD))
    """What is served: one of a name at a time on a target."""
    live: bool = field(default=False, metadata=flag())
    """Whether it runs in the target's own tree, and not in a snapshot."""
    folder: Optional[str] = field(default=None, metadata=optional(text(NAME)))
    """Where a file browser begins."""
    logdir: Optional[str] = field(default=None, metadata=optional(text(NAME)))
    """Whose logs TensorBoard shows."""

    gpus: Optional[int] = field(default=None, metadata=optional(integer(0, 1024)))
    """How many it leases; None is one where the machine has any."""
    gpu_memory: int = field(default=0, metadata=integer(0, 1 << 40))
    """In MiB, free on each of them."""
    after: str = field(default="", metadata=text(NAME))
    """The job that is to have finished before; asked by a part of its id, accepted by all of it."""
    retries: int = field(default=0, metadata=integer(0, 1 << 31))
    timeout: int = field(default=0, metadata=integer(0, 1 << 40))
    """In seconds; 0 is none."""
    notify: str = field(default="", metadata=text(VALUE))
    """A shell command for when it has ended."""

    python: str = field(default="", metadata=text(NAME))
    """The versions of Python that the project allows."""
    extras: Tuple[str, ...] = field(default=(), metadata=list_of(text(NAME), MANY))
    """Extras of the lock file for its environment."""
    leases: str = field(default="", metadata=text(NAME))
    """Where the lease files of GPUs lie; empty is the usual place."""

    git: Git = field(default=Git(), metadata=nested(Git))
    user: str = field(default="", metadata=text(NAME))
    """Who submitted it, by the laptop's account."""
    project: str = field(default="", metadata=text(NAME))
    target: str = field(default="", metadata=text(NAME))
    """The target as it was written where it was submitted."""

    again: str = field(default="", metadata=job_id())
    """The job whose snapshot runs once more."""
    incoming: str = field(default="", metadata=text(64, HEX))
    """What code is called that was brought from another target for this job."""
    interpreter: str = field(default="", metadata=text(NAME))
    """The Python of a job that runs in the project itself, in the terminal."""

    @property
    def all_parameters(self) -> Dict[str, Any]:
        """What was given, and the defaults of the others."""
        return {**self.defaults, **self.parameters}

    @property
    def program(self) -> str:
        """What it runs, as it would be typed."""
        return self.source or " ".join(shlex.quote(word) for word in self.arguments)


@dataclass(frozen=True)
class Job(JobSpec):
    """A job that was accepted: all of job.json, which is written once."""

    id: str = field(default="", metadata=job_id())
    root: str = field(default="", metadata=text(NAME))
    """The target's root there."""
    host: str = field(default="", metadata=line())
    secrets: Tuple[str, ...] = field(default=(), metadata=list_of(text(NAME), MANY))
    """The names of the secrets that it finds as variables."""
    submitted: float = field(default=0.0, metadata=moment())
    submitter: Optional[ProcessId] = field(default=None, metadata=optional(nested(ProcessId)))
    """The agent that accepts it; where that dies, the snapshot will never be whole."""
    mlflow_run: str = field(default="", metadata=run_id())

    @property
    def spec(self) -> JobSpec:
        """What was asked, to be asked again."""
        return JobSpec(**{member.name: getattr(self, member.name) for member in fields(JobSpec)})


def read_job(folder: Path) -> Job:
    """What a job's folder says was asked of it; raises JobError where that can't be read."""
    job = load(Job, folder / "job.json")
    if job is None:
        raise JobError(f"{folder / 'job.json'} can't be read.")
    return job
