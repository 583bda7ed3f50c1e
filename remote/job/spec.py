"""What is asked of a job, and `job.json`: the same, once a target has accepted it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from remote.errors import JobError
from remote.job import fields
from remote.job.fields import HEX, MANY, NAME, VALUE, WORD
from remote.job.outputs import DECLARED
from remote.job.status import UUID, ProcessId
from remote.job.struct import Struct


class Git(Struct):
    """What git said of the code as it was pushed. Without git, `commit` is empty."""

    commit: str = fields.text(64, HEX, default="")
    branch: str = fields.text(NAME, default="")
    dirty: bool = fields.flag(default=False)
    """Whether something differed from the commit."""


class JobSpec(Struct):
    """What is asked of a job: its program, what it is given, what it needs, how it is recorded."""

    kind: str = fields.text(32, WORD)
    """Its row in remote.job.kinds, which tells how `source` is run."""
    source: str = fields.text(NAME)
    """The program: a path below the project's root, a module's name; empty for a command line."""
    name: str = fields.text(NAME)

    parameters: Mapping[str, Any] = fields.mapping_of(fields.any_json(VALUE), MANY, default={})
    """Those that were given; what a program is given none of has the value in `defaults`."""
    defaults: Mapping[str, Any] = fields.mapping_of(fields.any_json(VALUE), MANY, default={})
    arguments: Tuple[str, ...] = fields.list_of(fields.text(VALUE), MANY, default=())
    """The words after the program's own; of a command, all of them."""
    cwd: str = fields.text(NAME, default="")
    """Where it runs, a folder below the project's root; empty is that itself."""
    env: Mapping[str, str] = fields.mapping_of(fields.text(VALUE), MANY, default={})
    tags: Mapping[str, str] = fields.mapping_of(fields.text(VALUE), MANY, default={})
    experiment: str = fields.text(NAME, default="")
    record: bool = fields.flag(default=True)
    """Whether the job gets an MLflow run."""

    output: str = fields.text(NAME, default="")
    """What an executed notebook is called, without time and suffix."""
    hydra: bool = fields.flag(default=False)
    """Whether a script or module is a Hydra application."""
    entry_point: str = fields.text(NAME, default="")
    """An MLproject's."""
    service: str = fields.text(32, WORD, default="")
    """What is served: one of a name at a time on a target."""
    live: bool = fields.flag(default=False)
    """Whether it runs in the target's own tree, and not in a snapshot."""
    folder: Optional[str] = fields.optional(fields.text(NAME), default=None)
    """Where a file browser begins."""
    logdir: Optional[str] = fields.optional(fields.text(NAME), default=None)
    """Whose logs TensorBoard shows."""

    gpus: Optional[int] = fields.optional(fields.integer(0, 1024), default=None)
    """How many it leases; None is one where the machine has any."""
    gpu_share: float = fields.number(0.01, 1, default=1.0)
    """How much it leases of one."""
    gpu_memory: int = fields.integer(0, 1 << 40, default=0)
    """In MiB, free on each of them."""
    nodes: int = fields.integer(0, 1 << 16, default=0)
    """How many machines it takes; 0 is one. Each has as many GPUs as `gpus` says."""
    sbatch: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """More words for Slurm's sbatch: the target's settings', then those that were typed."""
    gpu_model: str = fields.text(256, default="")
    """A part of their names, in any case."""
    gpu_exclude: Tuple[str, ...] = fields.list_of(fields.text(128, UUID), 1024, default=())
    """Which not to take, by index or UUID."""
    cpus: int = fields.integer(0, 1 << 16, default=0)
    """How many CPU slots it takes where it has no GPU; 0 is one where there is a limit."""
    cpu_slots: int = fields.integer(0, 1 << 16, default=0)
    """That limit: how many slots the jobs of the machine without a GPU have; 0 is none."""
    after: str = fields.text(NAME, default="")
    """The job that is to have finished before; asked by a part of its id, accepted by all of it."""
    retries: int = fields.integer(0, 1 << 31, default=0)
    timeout: int = fields.integer(0, 1 << 40, default=0)
    """In seconds; 0 is none."""
    idle: int = fields.integer(0, 1 << 40, default=0)
    """For how many seconds its GPUs may do nothing; 0 is for ever."""
    notify: str = fields.text(VALUE, default="")
    """A shell command for when it has ended."""

    python: str = fields.text(NAME, default="")
    """The versions of Python that the project allows."""
    extras: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """Extras of the lock file for its environment."""
    environment: str = fields.text(64, WORD, default="")
    """Its row in remote.agent.environments; empty is what the project brings a file for."""
    environment_source: str = fields.text(NAME, default="")
    """What such an environment is taken from on the server: an interpreter, the folder of an
    environment, `conda:NAME`, an image."""
    torch_backend: str = fields.text(64, WORD, default="")
    """Which build of PyTorch uv installs there, in its words; empty is what the lock file names."""
    setup: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """Lines that bash runs before the job, whose exports it gets."""
    outputs: Tuple[str, ...] = fields.list_of(fields.text(255, DECLARED), MANY, default=())
    """What the project declares to be its jobs' own, beside remote.job.outputs.TABLE."""
    leases: str = fields.text(NAME, default="")
    """Where the lease files of GPUs lie; empty is the usual place."""

    git: Git = fields.nested(Git, default=Git())
    user: str = fields.text(NAME, default="")
    """Who submitted it, by the laptop's account."""
    project: str = fields.text(NAME, default="")
    target: str = fields.text(NAME, default="")
    """The target as it was written where it was submitted."""

    sweep: str = fields.job_id(default="")
    """The sweep that it is one of."""
    again: str = fields.job_id(default="")
    """The job whose snapshot runs once more."""
    state: str = fields.job_id(default="")
    """The job in whose state folder it goes on; empty is one of its own."""
    incoming: str = fields.text(64, HEX, default="")
    """What code is called that was brought from another target for this job."""
    interpreter: str = fields.text(NAME, default="")
    """The Python of a job that runs in the project itself, in the terminal."""

    @property
    def parent_run(self) -> str:
        """The MLflow run that those of a sweep's jobs are children of; empty where there is none."""
        return sweep_run(self.sweep) if self.sweep else ""

    @property
    def all_parameters(self) -> Dict[str, Any]:
        """What was given, and the defaults of the others."""
        return {**self.defaults, **self.parameters}

    @property
    def program(self) -> str:
        """What it runs, as it would be typed."""
        return self.source or self.command_line

    @property
    def typed(self) -> str:
        """The same, with its parameters and arguments; a notebook of the usual folder by its name."""
        given = [f"--{name} {shlex.quote(str(value))}" for name, value in self.parameters.items()]
        source = self.source.replace("src/notebooks/", "", 1)
        words = [source, *given] if self.source else []
        if self.arguments:
            words.append(self.replace(source="").command_line)
        return " ".join(words)

    @property
    def command_line(self) -> str:
        """The same, with its arguments."""
        if not self.source and len(self.arguments) == 1:
            # A line of a shell's is typed as it is.
            return self.arguments[0]
        # As versions before had it.
        if not self.source and self.arguments[:2] == ("sh", "-c"):
            return self.arguments[2]
        words = (shlex.quote(word) for word in self.arguments)
        return " ".join([self.source, *words] if self.source else words)


def sweep_run(sweep: str) -> str:
    """The id of a sweep's own MLflow run, which is made where its jobs' runs meet."""
    # Few jobs are of a sweep, and each worker starts faster without.
    import hashlib

    return hashlib.sha256(sweep.encode()).hexdigest()[:32]


class Job(JobSpec):
    """A job that was accepted: all of job.json, which is written once."""

    id: str = fields.job_id(default="")
    root: str = fields.text(NAME, default="")
    """The target's root there."""
    host: str = fields.line(default="")
    secrets: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """The names of the secrets that it finds as variables."""
    submitted: float = fields.moment(default=0.0)
    submitter: Optional[ProcessId] = fields.optional(fields.nested(ProcessId), default=None)
    """The agent that accepts it; where that dies, the snapshot will never be whole."""
    mlflow_run: str = fields.run_id(default="")
    request: str = fields.text(32, HEX, default="")
    """The id of the submission, by which one that was cut off finds its job."""

    @property
    def spec(self) -> JobSpec:
        """What was asked, to be asked again."""
        return JobSpec(**{name: getattr(self, name) for name in JobSpec.fields})


def read_job(folder: Path) -> Job:
    """What a job's folder says was asked of it; raises JobError where that can't be read."""
    job = Job.from_file(folder / "job.json")
    if job is None:
        raise JobError(
            f"{folder / 'job.json'} can't be read.", "Its folder was changed: start a new job."
        )
    return job
