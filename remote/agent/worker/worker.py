"""The worker: supervises one job from its environment to its end, and outlives every connection."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional

from remote.agent import job_folders, job_state, processes, reserve
from remote.agent.gpus.queue import JobLease
from remote.agent.target_dir import root_of
from remote.agent.worker import Outcome, mirror
from remote.agent.worker.preparing import PreparedRecord
from remote.errors import JobError, RemoteError, StoreError
from remote.files import FULL, is_absent, shortened
from remote.job.fields import NAME
from remote.job.paths import JobPaths, states_folder
from remote.job.status import (
    ENDED,
    FAILED,
    FINISHED,
    QUEUED,
    REFUSED,
    STOPPED,
    UNKNOWN,
    JobStatus,
)

# A submission waits for the worker's first word: what isn't needed for that is imported later.
if TYPE_CHECKING:
    from remote.agent.gpus.lease import Lease
    from remote.agent.raw_data import ReadOnly

#: What asks a worker to end.
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

#: Seconds between two looks at the job that this one is to follow.
LOOK = 0.3


class Stopped(BaseException):
    """A signal asks this job to end; its number is the argument."""


def work(key: str, job_id: str) -> int:
    """Be the worker of a job of a target; its exit code comes back."""
    # Whoever looks at the job in its terminal and types Ctrl-C means to leave, not to end it.
    signal.signal(signal.SIGINT, _pass)
    return Worker(JobPaths(root_of(key), job_id)).supervise()


def work_here(root: str, job_id: str) -> int:
    """Run a job in the project itself, in the terminal, with the Python that job.json names."""
    signal.signal(signal.SIGINT, _stop)
    return Worker(JobPaths(Path(root), job_id)).supervise()


class Worker(PreparedRecord):
    """One job's supervisor."""

    def __init__(self, paths: JobPaths) -> None:
        super().__init__(paths)
        self.raw: Optional[ReadOnly] = None
        self.job_lease = JobLease(self.job)

    def supervise(self) -> int:
        """Take the job to its end; its exit code comes back."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        ended = threading.Event()
        args = (self.paths, ended, lambda: bool(self.status.waiting))
        shown = threading.Thread(target=mirror, args=args, daemon=True)
        shown.start()
        try:
            outcome = self.perform()
        finally:
            for number in SIGNALS:
                signal.signal(number, _pass)
        self.finish(outcome)
        ended.set()
        shown.join(timeout=2)
        if self.job.notify and self.status.state in ENDED:
            from remote.agent.worker.attempt import notify

            notify(self)
        return outcome.code

    def perform(self) -> Outcome:
        """Do all of it; how it ended comes back."""
        try:
            self.await_code()
            try:
                # Before anybody hears that this worker lives: so jobs get GPUs in the order in
                # which they were submitted. One whose environment is to be made first joins the
                # queue when that is done, at the place of its submission.
                if not self.job.after and (self.here or self.environment.is_ready()):
                    self.job_lease.join()
                self.begin()
                return self.run_code()
            finally:
                self.job_lease.leave()
        except Stopped as stopped:
            return self.outcome_of(stopped.args[0])
        except RemoteError as error:
            # A command that mends it stands in a line of its own.
            for line in str(error).split("\n"):
                self.say(line)
            if self.status.worker is None:
                return Outcome(FAILED, 1, str(error), REFUSED)
            return Outcome(FAILED, 1, error.message, "toolkit")
        except Exception as error:
            self.say(_traceback())
            if isinstance(error, OSError) and error.errno in FULL:
                return Outcome(FAILED, 1, "the server's disk is full", "disk")
            return Outcome(FAILED, 1, f"the toolkit failed: {error}", "toolkit")

    def outcome_of(self, number: int) -> Outcome:
        """How a job ends by a signal: stopped by its user, or failed by what ended its terminal, its
        tmux server, the login or the machine."""
        if number == signal.SIGINT or (number == signal.SIGTERM and self.paths.stop.exists()):
            return Outcome(STOPPED, 143, "stopped", "stopped")
        cause = "a signal ended its worker (SIGTERM): a shutdown, a logout, or kill"
        if number == signal.SIGHUP:
            terminal = "its terminal was closed" if self.here else "tmux ended its session"
            cause = f"{terminal} (SIGHUP)" + ("" if self.here else ", as tmux kill-server does")
        return Outcome(FAILED, 128 + number, cause, "signal")

    def await_code(self) -> None:
        """Wait for the snapshot, which is made while the worker starts; raises JobError."""
        is_here = self.job.host == os.uname().nodename
        while not self.code.is_dir():
            if is_absent(self.paths.job):
                # Whoever submitted this has told why, and cleaned up.
                os._exit(1)
            # Where the worker runs elsewhere, nobody can tell whether the submitter lives.
            gone = is_here and processes.alive(self.job.submitter) is False
            if gone and not self.code.is_dir():
                raise JobError(
                    "The submission broke off before its code was there.", "Run it again."
                )
            time.sleep(0.005)

    def begin(self) -> None:
        """Say that the worker lives."""
        worker = processes.identity(os.getpid())
        host, started = os.uname().nodename, time.time()
        self.write(state=QUEUED, worker=worker, host=host, started=started)
        processes.adopt_orphans()
        reserve.set_aside(self.paths)
        self.begin_records()

    def run_code(self) -> Outcome:
        """Run the job's code, with all that it waits for: another job, its environment, GPUs."""
        from remote.agent import unpulled
        from remote.agent.worker.attempt import attempts

        if self.job.after:
            root, after = self.paths.root, self.job.after
            for other in job_folders.of_sweep(root, after) or [JobPaths(root, after)]:
                self.await_other(other)
        python = self.prepare()
        with self.job_lease.leased(self.wait) as lease:
            if lease is not None:
                self.write(**self.job_lease.record(lease))
            self.protect_raw()
            try:
                unpulled.begin(self.paths, self.job)
            except OSError as error:
                self.say(f"what this job writes is unknown: {error}")
            return attempts(self, python, self.devices(lease))

    def devices(self, lease: Optional[Lease]) -> Mapping[str, str]:
        """The variables that tell the job's code what it may run on."""
        return self.job_lease.variables(lease)

    def protect_raw(self) -> None:
        """Have data/raw be read-only for as long as the job's code runs."""
        from remote.agent import raw_data

        self.raw = raw_data.ReadOnly(self.paths.root)
        try:
            self.raw.take()
        except (OSError, ValueError) as error:
            self.say(f"{raw_data.FOLDER} could not be made read-only: {error}")

    def await_other(self, other: JobPaths) -> None:
        """Wait until another job has finished; raises JobError where it ends in another way."""
        waiting = f"waiting for {other.id} to finish"
        self.wait(waiting)
        while True:
            if is_absent(other.job):
                raise JobError(
                    f"{other.id}, which this job was to follow, was removed.",
                    "Run it again without --after.",
                )
            status = job_state.state_of(other)
            state = status.state
            if state == FINISHED:
                return
            if state in ENDED:
                told = {"lost": "was lost", "stopped": "was stopped"}.get(state, state)
                raise JobError(
                    f"{other.id}, which this job was to follow, {told}.",
                    f"Why: inv remote-logs {other.id}",
                )
            unknown = f", whose state is unknown: {status.cause}" if state == UNKNOWN else ""
            self.wait(waiting + unknown)
            time.sleep(LOOK)

    def finish(self, outcome: Outcome) -> None:
        """End what still runs, keep what there is, and write the last word."""
        from remote.agent.worker import notebook_views

        processes.end_descendants(os.getpid())
        try:
            if self.raw is not None:
                self.raw.give_back()
        except (OSError, ValueError) as error:
            self.say(f"data/raw is still read-only, until the next job ends: {error}")
        # One that nobody used.
        with contextlib.suppress(OSError):
            (states_folder(self.paths.root) / self.paths.id).rmdir()
        ended = time.time()
        last = self.status.replace(
            state=outcome.state,
            exit_code=outcome.code,
            cause=shortened(outcome.cause, NAME),
            reason=outcome.reason,
            waiting="",
            ended=ended,
            seconds=ended - (self.status.running or ended),
        )
        reserve.note(self.paths, last)
        # With the room for the end still set aside: it has none to take.
        notebook_views.draw(self, outcome)
        reserve.free(self.paths)
        errors = []
        for step in (self.keep_notebook, self.close_records):
            try:
                last = step(last)
            except (OSError, StoreError) as error:
                errors.append(error)
                self.say(f"{error}\ninv remote-ps completes this job's record.")
            except Exception:
                self.say(_traceback())
        reserve.publish(self.paths, last)
        self.status = last
        if not errors:
            job_folders.forget(self.paths)

    def keep_notebook(self, last: JobStatus) -> JobStatus:
        """Keep the executed notebook; the last status comes back, which says where."""
        last = job_state.keep_notebook(self.paths, self.job, last)
        if last.result:
            self.say(f"notebook: {last.result}")
        return last

    def close_records(self, last: JobStatus) -> JobStatus:
        """End the job's runs, and tell in its log how it ended."""
        from remote.agent.tracking.job_run import is_outside, noted_stores

        for place in filter(is_outside, noted_stores(self.paths)):
            self.say(f"runs were logged to {place}, which no pull merges (see inv mlflow-merge)")
        job_state.list_unpulled(self.paths, self.job)
        code = f"exit code {last.exit_code}"
        cause = f" ({last.cause})" if last.cause not in ("", code) else ""
        self.say(f"{last.state}, {code}{cause}")
        job_state.close_records(self.paths, self.job, last)
        return last


def _pass(number: int, frame: Any) -> None:
    """Do nothing. A signal that is ignored (SIG_IGN) would be so in the job's code too."""


def _stop(number: int, frame: Any) -> None:
    # The first one tells how the job ends; another must not cut that short.
    for each in SIGNALS:
        signal.signal(each, _pass)
    raise Stopped(number)


def _traceback() -> str:
    import traceback

    return traceback.format_exc()
