"""The worker: supervises one job from its environment to its end, and outlives every connection."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Iterator, Optional

from remote.agent import environments, processes
from remote.agent.gpus.queue import JobLease
from remote.agent.job_folders.find_jobs import forget
from remote.agent.job_folders.liveness import wait_for
from remote.agent.job_folders.raw_data import FOLDER, ReadOnly
from remote.agent.target_dir import root_of
from remote.agent.worker.attempt import STOPPED_BY_USER, Attempt, Outcome
from remote.agent.worker.notify import notify
from remote.agent.worker.terminal_log import mirror
from remote.errors import JobError, RemoteError
from remote.job.fields import save
from remote.job.kinds import kind_of
from remote.job.paths import JobPaths
from remote.job.spec import read_job
from remote.job.state import ENDED, FAILED, PREPARING, QUEUED, REFUSED, RUNNING
from remote.job.status import JobStatus, LeasedGpu

# A submission waits for the worker's first word: what isn't needed for that is imported later.
if TYPE_CHECKING:
    from remote.agent.gpus.lease import Lease
    from remote.agent.tracking.run_rows import RecordedRun
    from remote.job.messages.gpus import Gpu


class Stopped(BaseException):
    """Somebody asked this job to end."""


def work(key: str, job_id: str) -> int:
    """Be the worker of a job of a target; its exit code comes back."""
    # Whoever looks at the job in its terminal and types Ctrl-C means to leave, not to end it.
    signal.signal(signal.SIGINT, _pass)
    return Worker(JobPaths(root_of(key), job_id)).run()


def work_here(root: str, job_id: str) -> int:
    """Run a job in the project itself, in the terminal, with the Python that job.json names."""
    signal.signal(signal.SIGINT, _stop)
    return Worker(JobPaths(Path(root), job_id)).run()


class Worker:
    """One job's supervisor. `status.json` is written here and nowhere else while it lives.

    `status` is replaced, never changed: what was handed on stays what it was.
    """

    def __init__(self, paths: JobPaths) -> None:
        self.paths = paths
        self.job = read_job(paths.folder)
        self.kind = kind_of(self.job)
        self.status = JobStatus(QUEUED)
        self.run_record: Optional[RecordedRun] = None
        self.raw: Optional[ReadOnly] = None
        self.job_lease = JobLease(self.job)
        self.log: IO[bytes] = open(str(paths.log), "ab", buffering=0)
        self.here = bool(self.job.interpreter)
        self.code = paths.root if self.here else paths.code

    def run(self) -> int:
        """Take the job to its end; its exit code comes back."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        shown = threading.Thread(target=mirror, args=(self.paths, self.ended), daemon=True)
        shown.start()
        try:
            result = self.perform()
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, _pass)
        self.finish(result)
        shown.join(timeout=2)
        self.notify()
        return result.code

    def write(self, **changes: Any) -> None:
        """Change some of the status, on disk in one step."""
        self.status = replace(self.status, **changes)
        save(self.paths.status, self.status)

    def ended(self) -> bool:
        """Whether the last word on this job is written."""
        return self.status.state in ENDED

    def say(self, text: str) -> None:
        """Put a line of the toolkit's own into the job's log."""
        self.log.write(f"[remote] {text}\n".encode("utf-8", "backslashreplace"))

    def perform(self) -> Outcome:
        """Do all of it; how it ended comes back."""
        try:
            self.await_code()
            with self.queued():
                self.begin()
                self.await_other()
                python = self.prepare()
                with self.leased() as lease:
                    self.protect_raw()
                    return self.attempts(python, lease)
        except Stopped:
            return STOPPED_BY_USER
        except RemoteError as error:
            self.say(str(error).replace("\n", " "))
            if self.status.worker is None:
                return Outcome(FAILED, 1, str(error), REFUSED)
            return Outcome(FAILED, 1, error.message, "toolkit")
        except Exception as error:
            self.say(_traceback())
            return Outcome(FAILED, 1, f"the toolkit failed: {error}", "toolkit")

    def await_code(self) -> None:
        """Wait for the snapshot, which is made while the worker starts; raises JobError."""
        while not self.code.is_dir():
            if not self.paths.job.exists():
                # Whoever submitted this has told why, and cleaned up.
                os._exit(1)
            if self.submitter_is_gone() and not self.code.is_dir():
                raise JobError("The submission broke off before its code was there.")
            time.sleep(0.005)

    def submitter_is_gone(self) -> bool:
        """Whether nobody will make the snapshot; unknown where the worker runs elsewhere."""
        is_here = self.job.host == os.uname().nodename
        return is_here and processes.alive(self.job.submitter) is False

    def begin(self) -> None:
        """Say that the worker lives."""
        worker = processes.identity(os.getpid())
        host, started = os.uname().nodename, time.time()
        self.write(state=QUEUED, worker=worker, host=host, started=started)
        processes.adopt_orphans()
        from remote.agent.tracking import job_run
        from remote.tracking.store import is_store

        if is_store(job_run.store_of(self.paths.root)):
            self.begin_run()

    def await_other(self) -> None:
        """Wait for the job that this one is to follow."""
        if self.job.after:
            wait_for(self.paths, self.job.after, self.wait)

    def wait(self, reason: str) -> None:
        """Write down what the job waits for."""
        if reason != self.status.waiting:
            self.say(reason)
            self.write(state=QUEUED, waiting=reason)

    @contextlib.contextmanager
    def queued(self) -> Iterator[None]:
        """Stand in the queue for GPUs, before anybody hears that this worker lives.

        So jobs get GPUs in the order in which they were submitted. A job that needs its
        environment made first joins the queue when that is done, at the place of its submission.
        """
        try:
            if not self.job.after and (self.here or self.environment.is_ready()):
                self.job_lease.join()
            yield
        finally:
            self.job_lease.leave()

    @functools.cached_property
    def environment(self) -> environments.ProjectEnvironment:
        """What the job's code asks for, there or still to be made; raises JobError."""
        return environments.of(self.paths.root, self.code, self.job.python, self.job.extras)

    def begin_run(self) -> None:
        """Give the job its MLflow run, and every attempt but the first a new one."""
        if not self.job.record:
            return
        from remote.agent.tracking import job_run

        run_id = self.status.mlflow_run or self.job.mlflow_run
        self.run_record = job_run.begin_run(self.paths, self.job, run_id)

    def prepare(self) -> Path:
        """Have the environment and the MLflow run ready; the interpreter comes back."""
        from remote.agent.tracking import job_run
        from remote.agent.worker import variables

        python = self.interpreter()
        # A service records nothing itself, and shows the store, or lets notebooks write to it.
        if not self.run_record and (self.job.record or self.kind.serves):
            if job_run.make_store(self.paths.root, python, variables.base(python)):
                self.begin_run()
            else:
                self.say("mlflow is not in the lock file, so this job gets no MLflow run.")
        return python

    def interpreter(self) -> Path:
        """The Python of the environment for the job's lock file, made now if it isn't there."""
        from remote.agent.worker.variables import proxied

        if self.here:
            return Path(self.job.interpreter)
        self.write(**self.environment.record())
        if not self.environment.is_ready():
            self.write(state=PREPARING, waiting="")
            with proxied(self.paths):
                self.environment.make(self.log, job=self.paths.id)
        self.write(environment_ready=True)
        return self.environment.python

    @contextlib.contextmanager
    def leased(self) -> Iterator[Optional[Lease]]:
        """Hold the GPUs that the job is to have, and write down which."""
        with self.job_lease.leased(self.wait) as lease:
            if lease is not None:
                from remote.agent.tracking import job_run

                gpus = tuple(_leased(gpu) for gpu in lease.gpus)
                self.write(gpus=gpus, **job_run.gpu_facts(lease.gpus))
            yield lease

    def protect_raw(self) -> None:
        """Make data/raw read-only until the job has ended."""
        self.raw = ReadOnly(self.paths.root)
        try:
            self.raw.take()
        except OSError as error:
            self.say(f"{FOLDER} could not be made read-only: {error}")

    def attempts(self, python: Path, lease: Optional[Lease]) -> Outcome:
        """Run the code, again where it fails and retries are left."""
        last = 1 + self.job.retries
        for number in range(1, last + 1):
            result = self.attempt(python, lease, number)
            if result.state != FAILED or number == last:
                return result
            from remote.agent.tracking import job_run

            self.say(f"attempt {number} of {last} failed ({result.cause}); trying again")
            job_run.end_runs(self.paths, self.job, replace(self.status, state=FAILED))
            self.write(mlflow_run=os.urandom(16).hex())
            if self.run_record:
                self.begin_run()
        raise AssertionError("unreachable")

    def attempt(self, python: Path, lease: Optional[Lease], number: int) -> Outcome:
        """Run the code once."""
        from remote.agent.tracking import job_run
        from remote.agent.worker import variables

        self.write(state=RUNNING, running=time.time(), attempt=number, waiting="")
        if self.run_record:
            job_run.start_run(self.paths, self.run_record.run_id)
        tags = job_run.tags(self.job, self.status.gpus)
        # What is edited in a service is the target's own; its environment is the snapshot's.
        place = self.paths.root if self.job.live else self.code
        env = variables.of_job(self.paths, self.job, place, python, self.run_record, tags)
        env.update(self.job_lease.variables(lease))
        attempt = Attempt(self.paths, self.job, place, self.log)
        try:
            return attempt.run(python, env, lease)
        finally:
            # What is left of it must not use a GPU that others may lease now.
            processes.end_descendants(os.getpid())
            self.status = attempt.with_peaks(self.status)

    def finish(self, result: Outcome) -> None:
        """End what still runs, keep what there is, and write the last word."""
        from remote.agent.job_folders import results
        from remote.agent.tracking import job_run

        processes.end_descendants(os.getpid())
        if self.raw is not None:
            self.give_raw_back(self.raw)
        ended = time.time()
        last = replace(
            self.status,
            state=result.state,
            exit_code=result.code,
            cause=result.cause,
            reason=result.reason,
            waiting="",
            ended=ended,
            seconds=ended - (self.status.running or ended),
        )
        cause = f" ({result.cause})" if result.cause else ""
        try:
            last = self.keep_results(last)
            self.say(f"{result.state}, exit code {result.code}{cause}")
            results.keep_account(self.paths, self.job, last)
            job_run.end_runs(self.paths, self.job, last)
        except Exception:
            self.say(_traceback())
        save(self.paths.status, last)
        # Whoever sees that it has ended (`ended`) finds the last word on disk.
        self.status = last
        forget(self.paths)

    def give_raw_back(self, raw: ReadOnly) -> None:
        """Let data/raw be written to again, unless other jobs still run."""
        try:
            raw.give_back()
        except (OSError, ValueError) as error:
            self.say(f"data/raw is still read-only, until the next job ends: {error}")

    def keep_results(self, status: JobStatus) -> JobStatus:
        """Put the executed notebook where results go, and say so."""
        from remote.agent.job_folders import results

        result = results.keep(self.paths, self.job, status)
        if not result:
            return status
        self.say(f"notebook: {result}")
        return replace(status, result=result)

    def notify(self) -> None:
        """Run the user's own command for the end of a job."""
        if self.job.notify:
            notify(self.paths, self.job, self.status, self.log)


def _pass(number: int, frame: Any) -> None:
    """Do nothing. A signal that is ignored (SIG_IGN) would be so in the job's code too."""


def _stop(number: int, frame: Any) -> None:
    raise Stopped()


def _traceback() -> str:
    import traceback

    return traceback.format_exc()


def _leased(gpu: Gpu) -> LeasedGpu:
    return LeasedGpu(index=gpu.index, uuid=gpu.uuid, name=gpu.name)
