"""The toolkit from Python: `from remote import Target`.

    gpu = Target("user@host:proj")
    job = gpu.run("train.ipynb", {"epoch": 3}, gpus=1)
    job.wait()
    gpu.pull()
    gpu.records()

It does what the commands do, by the same code. What goes wrong is a `remote.errors.RemoteError`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote.config import Project, find_project
from remote.errors import JobError, ProtocolError, StoreError
from remote.job.messages.jobs import (
    JobsAnswer,
    JobsRequest,
    JobSummary,
    LogAnswer,
    LogRequest,
    StopAnswer,
    StopRequest,
)
from remote.job.spec import JobSpec
from remote.job.status import JobStatus
from remote.operations.jobs.follow import follow_log
from remote.operations.jobs.run_options import RunOptions
from remote.operations.jobs.submit import describe, push_and_submit
from remote.operations.jobs.sweep_jobs import after_sweep
from remote.operations.sync import Pulled, Pushed, pull, push
from remote.options import Option, options_of
from remote.programs.program import Program, ShellLine, find
from remote.session import TargetSession

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

#: As many as MLflow makes a table of (SEARCH_MAX_RESULTS_PANDAS).
MOST_RUNS = 100_000

#: Held while MLflow, which has one for the whole process, has the project's store set.
_mlflow_setting = threading.Lock()


class Target:
    """A project's folder on a server.

    `address` is an address or a name, as for `--target`; without one it is the usual target.
    `project` is a folder of the project (default: the working directory). Nothing is connected yet.
    """

    def __init__(self, address: str = "", project: Path | str | None = None) -> None:
        self.project = find_project(Path(project) if project else None)
        self.session = TargetSession.of(self.project, self.project.target(address))

    def __repr__(self) -> str:
        return f"Target({str(self.session.target)!r})"

    def push(self, *, dry_run: bool = False) -> Pushed:
        """Send the project, as `sync-push` does."""
        return push(self.session, dry_run=dry_run)

    def run(
        self,
        program: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        arguments: Sequence[str] = (),
        shell: str = "",
        **options: Any,
    ) -> Job:
        """Push, and start a job, as `remote-run` does.

        `parameters` are a notebook's or MLproject's, `arguments` the words of a script. `options`
        are the flags of `remote-run` by the names of RunOptions, as values or as they would be
        typed: `gpus=1, timeout="8h", tags={"purpose": "trial"}`.
        """
        spec = described(
            self.project, program, parameters, arguments=arguments, shell=shell, **options
        )
        answer = push_and_submit(self.session, spec)
        return Job(self, answer.id, answer.environment_ready)

    def jobs(self, newest: int = 20) -> tuple[JobSummary, ...]:
        """The newest jobs and those that go on (0: all), the oldest first."""
        return self.look(newest=newest).jobs

    def look(self, *jobs: str, newest: int = 20) -> JobsAnswer:
        """The same, or the jobs that are named, with the server's clock."""
        request = JobsRequest(key=self.session.key, newest=newest, jobs=jobs)
        return self.session.agent.call(request)

    def job(self, name: str = "last") -> Job:
        """A job by its id, a unique part of it, or `last`."""
        return Job(self, Job(self, name).summary.id)

    def stop(self, *jobs: str) -> StopAnswer:
        """End jobs; what became of each of them."""
        return self.session.agent.call(StopRequest(key=self.session.key, jobs=jobs))

    def pull(self, *, dry_run: bool = False, registry: bool = False) -> Pulled:
        """Bring results and records back, as `sync-pull` does."""
        return pull(self.session, dry_run=dry_run, registry=registry)

    def records(self, filter_string: str = "") -> pd.DataFrame:
        """The runs that are here, of all experiments; `filter_string` is of MLflow's search."""
        return records(self.project, filter_string)


def records(project: Project, filter_string: str = "", *, newest: int = MOST_RUNS) -> pd.DataFrame:
    """The newest runs of a project that are here; raises StoreError."""
    from remote.operations.tracking.destination import destination

    store = destination(project).location
    if not store.exists():
        raise StoreError("There are no local records yet.", "Pull them: inv sync-pull")
    import mlflow

    with _mlflow_setting:
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"sqlite:///{store}")
        try:
            return mlflow.search_runs(
                search_all_experiments=True, filter_string=filter_string, max_results=newest
            )
        except mlflow.MlflowException as error:
            raise StoreError(
                f"MLflow can't search for that: {error.message}",
                "Such as: metrics.loss < 0.5 and params.lr = '0.1'",
            ) from None
        finally:
            mlflow.set_tracking_uri(before)


@dataclass(frozen=True)
class Job:
    """A job of a target, by its id.

    Of one that was started, `environment_ready` says whether its environment was there already.
    """

    target: Target
    id: str
    environment_ready: bool | None = field(default=None, compare=False)

    @property
    def summary(self) -> JobSummary:
        """All that `remote-ps JOB` tells, as it is now."""
        jobs = self.target.look(self.id).jobs
        if not jobs:
            raise ProtocolError(f"The server reported nothing about {self.id}.")
        return jobs[0]

    @property
    def state(self) -> str:
        """Such as `running` or `finished`; see remote.job.status."""
        return self.summary.state

    def wait(self, *, follow: bool = False) -> JobStatus:
        """Wait until it has ended, with `follow` printing its log; how it ended."""
        return follow_log(self.target.session, self.id, wait=True, silent=not follow)[1]

    def log(self, tail: int = 0, *, most: int = 0) -> str:
        """Its log so far, or the last lines of it, or no more than the last `most` bytes."""
        session, pieces = self.target.session, list[str]()

        def take(piece: LogAnswer) -> None:
            pieces.append(piece.text)
            # No byte is more than one letter.
            if most and sum(map(len, pieces)) > most:
                raise ProtocolError("The server sends more of a log than was requested.")

        request = LogRequest(key=session.key, job=self.id, tail=tail, most=most)
        session.agent.call(request, on_answer=take)
        return "".join(pieces)

    def stop(self) -> JobStatus:
        """End it; raises JobError where it goes on."""
        (ended,) = self.target.stop(self.id).stopped
        if ended.problem:
            raise JobError(f"{ended.id}: {ended.problem}.", "Look again: inv remote-ps")
        return ended.status


def described(
    project: Project,
    program: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    arguments: Sequence[str] = (),
    shell: str = "",
    **options: Any,
) -> JobSpec:
    """What `Target.run` asks of a job; raises RemoteError."""
    if isinstance(arguments, str):
        raise JobError(f"arguments takes a list of words, not {arguments!r}.")
    given = dict(parameters or {})
    what = _program(project, program, shell, given)
    chosen = job_options(project, options)
    return describe(project, what, given, arguments=arguments, options=chosen)


def _program(project: Project, name: str, shell: str, parameters: Mapping[str, Any]) -> Program:
    if (name != "") + (shell != "") != 1:
        raise JobError("Either a program or a shell line can run.", "Give one of them.")
    if shell:
        if parameters:
            raise JobError("A shell line has no parameters.", "Write the values into the line.")
        return ShellLine(shell)
    return find_with(project, name, parameters)


def find_with(project: Project, name: str, parameters: Mapping[str, Any]) -> Program:
    """The program; raises RemoteError, also for a parameter that it doesn't have."""
    program = find(project.root, name)
    for parameter in parameters:
        program.parameter(parameter)
    return program


def job_options(project: Project, given: Mapping[str, Any]) -> RunOptions:
    """What is asked of jobs by the names of RunOptions, and by the project's settings; raises
    RemoteError."""
    return after_sweep(project, _run_options(given).completed(project.settings))


def _run_options(given: Mapping[str, Any]) -> RunOptions:
    """Values by the names of RunOptions' fields; those that are texts are read as typed."""
    rows = options_of(RunOptions)
    unknown = sorted(given.keys() - rows.keys())
    if unknown:
        raise JobError(
            f"There is no option {unknown[0]!r} of a job.", f"There are {', '.join(rows)}."
        )
    return RunOptions(**{name: _value(rows[name], name, value) for name, value in given.items()})


def _value(row: Option, name: str, value: Any) -> Any:
    if isinstance(value, str):
        read = row.parse(value, name) if row.parse else value
        return row.collect([read]) if row.collect else read
    if row.collect is dict and not isinstance(value, Mapping):
        raise JobError(f"{name} takes a dict, not {value!r}.")
    return tuple(value) if isinstance(value, list) else value
