"""The worker of a job that Slurm runs, on a node which is not the machine that the target was pushed to.

Others can look at the target's files meanwhile, whose locks, processes and clocks mean nothing here:
so the job's records go to a store of its own, and nothing is shared by locks. Slurm may end the
worker, and start it again for the same job.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Mapping, Optional

from remote.agent import job_state, processes, reserve
from remote.agent.gpus.allocated import AllocatedGpus
from remote.agent.gpus.lease import Lease
from remote.agent.job_folders import read_status
from remote.agent.launchers import Launch, allocation, slurm
from remote.agent.target_dir import root_of
from remote.agent.tracking import job_run
from remote.agent.worker import Outcome
from remote.agent.worker.worker import Worker
from remote.errors import JobError, StoreError
from remote.files import is_absent
from remote.job.paths import JobPaths
from remote.job.status import FAILED, QUEUED, STOPPED, JobStatus
from remote.tracking.store import is_present

#: Seconds that the job's code may take to be there.
PATIENCE = 60.0


def work(key: str, job_id: str) -> int:
    """Be the worker of a job of a target; its exit code comes back."""
    return ScheduledWorker(JobPaths(root_of(key), job_id)).supervise()


class ScheduledWorker(Worker):
    """One job's supervisor, on a node that Slurm has chosen."""

    def __init__(self, paths: JobPaths) -> None:
        super().__init__(paths)
        self.job_lease = AllocatedGpus(self.job)
        self.is_requeued = False

    def await_code(self) -> None:
        """Wait for the snapshot, for a while: whether who makes it lives can't be told from here."""
        deadline = time.monotonic() + PATIENCE
        while not self.code.is_dir():
            if is_absent(self.paths.job):
                os._exit(1)
            if time.monotonic() > deadline:
                raise JobError(
                    "The submission broke off before its code was there.", "Run it again."
                )
            time.sleep(0.1)

    def begin(self) -> None:
        """Say that the worker lives, also where whoever started it came to write nothing down."""
        allocation.begin()
        if is_absent(self.paths.launch):
            Launch("slurm", slurm.start_of(self.paths)).to_file(self.paths.launch)
        earlier = read_status(self.paths)
        if earlier.started is not None:
            self.take_up(earlier)
        super().begin()

    def take_up(self, earlier: JobStatus) -> None:
        """Go on as the next attempt of a job that Slurm has ended and starts again."""
        host = os.uname().nodename
        self.say(f"Slurm starts this job again, on {host}: its code starts from the beginning")
        with contextlib.suppress(OSError, StoreError):
            job_run.end_runs(self.paths, self.job, earlier.replace(state=FAILED, ended=time.time()))
        self.paths.live.touch()
        job_state.clear_service(self.paths)
        self.status = self.status.replace(attempt=earlier.attempt, mlflow_run=os.urandom(16).hex())

    def begin_records(self) -> None:
        """Give the job its run where it has a store of its own from before."""
        if is_present(self.paths.own_store):
            self.begin_run()

    def make_store(self, python: Path, env: Mapping[str, str]) -> bool:
        """Make the job a store of its own; False where its environment has no MLflow."""
        return job_run.make_own_store(self.paths, python, env)

    def devices(self, lease: Optional[Lease]) -> Mapping[str, str]:
        """Also the nodes that the job has."""
        return {**super().devices(lease), **allocation.nodes()}

    def protect_raw(self) -> None:
        """Nothing: of jobs on several nodes, none could tell when it is the last."""

    def outcome_of(self, number: int) -> Outcome:
        """How the job ends by a signal: stopped by its user, or by Slurm."""
        outcome = super().outcome_of(number)
        if outcome.state == STOPPED:
            return outcome
        cause, reason, self.is_requeued = allocation.interruption(self.paths)
        code = 124 if reason == "timeout" else outcome.code
        return Outcome(FAILED, code, cause, reason)

    def finish(self, outcome: Outcome) -> None:
        """Write the last word, unless Slurm is about to start the job again."""
        if not self.is_requeued:
            super().finish(outcome)
            return
        processes.end_descendants(os.getpid())
        reserve.free(self.paths)
        job_state.clear_service(self.paths)
        self.say(f"{outcome.cause}; Slurm starts it again")
        with contextlib.suppress(OSError, StoreError):
            job_run.end_runs(self.paths, self.job, self.status.replace(state=FAILED))
        self.write(state=QUEUED, waiting=f"{outcome.cause}; Slurm starts it again")
