"""Hydra's callback in a job: each run of a multirun gets an MLflow run, a sweep goes on."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Any, List, Optional, Sequence

from hydra.experimental.callback import Callback

from remote.files import try_lock
from remote.runtime import hydra_runs, job_context, optuna_study

#: How long a process waits for a GPU of one that is just ending, in seconds.
PATIENCE = 30.0

#: The locks of this process; the kernel frees them when it dies.
_held: List[IO[Any]] = []


class JobCallback(Callback):
    """Named by `remote.runtime.run_program`. It is pickled to the processes that a launcher starts."""

    def __init__(self) -> None:
        self.job = job_context.job()
        self.driver = os.getpid()
        self.gpus = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
        #: The Optuna study that goes on, and how many trials it had before.
        self.study, self.first = "", 0
        #: The run of the trial that this process is at, and what user code had open before it.
        self.run = ""
        self.before: Optional[str] = None

    def on_multirun_start(self, config: Any, **rest: Any) -> None:
        """Before Hydra makes the sweeper and the launcher: their settings can still be changed."""
        if self.job is None:
            return
        if self.job.recording:
            hydra_runs.hide(self.job.recording)
        if len(self.gpus) > 1:
            hydra_runs.run_several(config, len(self.gpus))
        if optuna_study.is_optuna(config):
            self.study, self.first = optuna_study.go_on(self.job, config)

    def on_job_start(self, config: Any, **rest: Any) -> None:
        """Before the application's code, in the process that runs it."""
        if self.job is None:
            return
        is_trial = config.hydra.mode.name == "MULTIRUN"
        if is_trial and len(self.gpus) > 1 and os.getpid() != self.driver:
            take_gpu(self.job.folder, self.gpus)
        recording = self.job.recording
        if recording and is_trial:
            self.before = hydra_runs.active()
            study, first = self.study, self.first
            self.run = hydra_runs.begin(self.job, recording, config, study=study, first=first)
        elif recording:
            hydra_runs.write_overrides(recording, recording.run, config, at_end=False)

    def on_job_end(self, config: Any, job_return: Any, **rest: Any) -> None:
        """After the application's code, however it ended."""
        if self.job is None or self.job.recording is None:
            return
        recording = self.job.recording
        if config.hydra.mode.name != "MULTIRUN":
            hydra_runs.write_overrides(recording, recording.run, config, at_end=True)
        elif self.run:
            hydra_runs.end_open(self.before, job_return)
            hydra_runs.end(recording, self.run, config, job_return, study=self.study)
            self.run = ""


def take_gpu(folder: Path, gpus: Sequence[str]) -> None:
    """Let this process, for as long as it lives, see one GPU that no other one of the job has.

    Where all are taken, it sees what it saw before.
    """
    deadline = time.monotonic() + PATIENCE
    while not _held and time.monotonic() < deadline:
        for number, gpu in enumerate(gpus):
            file = open(str(folder / f"gpu-{number}.lock"), "a")
            if try_lock(file, fcntl.LOCK_EX):
                _held.append(file)
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return
            file.close()
        time.sleep(0.05)
