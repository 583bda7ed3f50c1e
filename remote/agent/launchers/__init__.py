"""What keeps a job's worker alive without a connection: a row for each way to do so.

How a worker was started stands in the job's `launch.json`. Who submits writes it, once, as soon as
the launcher has the worker: before that begins, which can be hours later where a scheduler decides.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

from remote.agent.launchers import slurm, tmux
from remote.errors import JobError, ProtocolError
from remote.job import fields
from remote.job.fields import MESSAGE, WORD
from remote.job.paths import JobPaths
from remote.job.spec import Job, read_job
from remote.job.status import ProcessId
from remote.job.struct import Struct

#: What a launcher knows a worker by, as JSON: it lies in the job's folder.
Handle = Mapping[str, Any]


class Launcher(Protocol):
    """What keeps a worker alive without a connection, and knows whether it lives.

    A module with these names is one.
    """

    #: The programs that a server must have for it.
    PROGRAMS: Tuple[str, ...]

    #: Within how many seconds a worker begins; None where that is a scheduler's to decide.
    START_LIMIT: Optional[float]

    #: Where to look when it doesn't.
    START_HINT: str

    #: Whether workers run on other machines than who asks for them: there, no lock, process or
    #: clock of this one means anything.
    ELSEWHERE: bool

    def start(self, job: Job, argv: Sequence[str], setting: str) -> Handle:
        """Start the worker of a job, which lives on without us; raises JobError.

        `setting` is what the user's settings say for this launcher, such as a socket's name.
        """

    def alive(self, handle: Handle) -> Optional[bool]:
        """Whether the worker lives; None where that can't be told now.

        Only a clear no has a job declared lost: unknown is not absent.
        """

    def waiting(self, handle: Handle) -> str:
        """Why the worker doesn't run yet, or not again, for people; empty where it may run."""

    def stop(self, handle: Handle) -> None:
        """Ask the worker to end its job (SIGTERM)."""

    def kill(self, handle: Handle) -> None:
        """End the worker and all below it at once."""

    def beside(self, handle: Handle, job_id: str, *, terminal: bool = False) -> List[str]:
        """The words before a command that run it where the worker runs, with what that was given, in
        a `terminal` or not; raises JobError."""

    def attach(self, handle: Handle, job_id: str) -> List[str]:
        """argv that shows the worker's terminal, to be run on the server; raises JobError."""

    def why_ended(self, handle: Handle) -> str:
        """Why the worker is gone, as far as the launcher can tell, for people."""


LAUNCHERS: Dict[str, Launcher] = {"tmux": tmux, "slurm": slurm}

#: That of jobs of versions which knew no other.
DEFAULT = "tmux"


def usual() -> str:
    """The launcher of a job that names none: the scheduler's, where this machine has one."""
    return "slurm" if slurm.is_used() else DEFAULT


def named(name: str) -> Launcher:
    """The row of that name; raises JobError."""
    if name not in LAUNCHERS:
        raise JobError(
            f"The launcher {name!r} is not known to this version of the toolkit.",
            f"It knows {', '.join(LAUNCHERS)}. Did a newer version start the job?",
        )
    return LAUNCHERS[name]


class Launch(Struct):
    """A worker, by the name of its launcher and what that knows it by."""

    launcher: str = fields.text(64, WORD)
    handle: Handle = fields.mapping_of(fields.any_json(MESSAGE), 100)

    @property
    def row(self) -> Launcher:
        """Who is asked about `handle`; raises JobError."""
        return named(self.launcher)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the worker may run on another machine than this one."""
        return self.launcher in LAUNCHERS and self.row.ELSEWHERE

    def alive(self) -> Optional[bool]:
        """Whether the worker lives; None where that can't be told, as of a launcher unknown here, or of
        a handle that lacks what it is known by here."""
        with contextlib.suppress(KeyError):
            return self.row.alive(self.handle) if self.launcher in LAUNCHERS else None
        return None

    @property
    def doubt(self) -> str:
        """What is told where nobody knows whether the worker lives."""
        return f"{self.launcher} can't tell on {os.uname().nodename} whether it goes on"

    def waiting(self) -> str:
        """Why the worker doesn't run yet; empty where it may run."""
        with contextlib.suppress(KeyError):
            return self.row.waiting(self.handle) if self.launcher in LAUNCHERS else ""
        return ""


def start(paths: JobPaths, launcher: str, argv: Sequence[str], setting: str) -> Launch:
    """Start a job's worker, and write down how; raises JobError."""
    launch = Launch(launcher, {})
    launch = launch.replace(handle=launch.row.start(read_job(paths.folder), argv, setting))
    launch.to_file(paths.launch)
    return launch


#: What starts the workers of several jobs at once: of jobs that ask for the same, each argv ending
#: with its job's id. Other launchers start one after the other.
SEVERAL: Dict[str, Callable[[Sequence[Job], Sequence[Sequence[str]]], Sequence[Handle]]] = {
    "slurm": slurm.start_all
}


def start_several(
    jobs: Sequence[JobPaths], launcher: str, argvs: Sequence[Sequence[str]], setting: str
) -> None:
    """Start the workers of jobs that ask for the same, and write down how; raises JobError."""
    if launcher in SEVERAL and len(jobs) > 1:
        handles = SEVERAL[launcher]([read_job(paths.folder) for paths in jobs], argvs)
        for paths, handle in zip(jobs, handles):
            Launch(launcher, handle).to_file(paths.launch)
    else:
        for paths, argv in zip(jobs, argvs):
            start(paths, launcher, argv, setting)


def read(paths: JobPaths, worker: Optional[ProcessId]) -> Optional[Launch]:
    """How a job's worker was started; None as long as it wasn't.

    `worker` is the process that status.json names. It tells where no launch was written down: jobs
    of versions before launchers had names ran in tmux, and one in the user's own terminal is a
    process of this machine just the same.
    """
    try:
        launch = Launch.from_file(paths.launch)
    except ProtocolError:
        # No launcher has this name: nothing is known of the worker, and so it isn't lost.
        return Launch("unreadable", {})
    if launch is None and worker is not None:
        return Launch(DEFAULT, vars(worker))
    return launch
