"""Hydra's callback in a job: each run of a multirun gets an MLflow run, a sweep goes on."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Any, List, Optional, Sequence

from hydra.experimental.callback import Callback

from remote.runtime import hydra_runs, job_context, optuna_study


class JobCallback(Callback):
    """Named by `remote.runtime.run_program`. It is pickled to the processes that a launcher starts."""

    def __init__(self) -> None:
        self.job = job_context.job()
        self.driver = os.getpid()
        self.gpus = visible()
        self.sweep = optuna_study.Sweep(study="", before=0)
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
            self.sweep = optuna_study.go_on(self.job, config)

    def on_job_start(self, config: Any, **rest: Any) -> None:
        """Before the application's code, in the process that runs it."""
        if self.job is None:
            return
        if _is_trial(config) and len(self.gpus) > 1 and os.getpid() != self.driver:
            take(self.job.folder, self.gpus)
        recording = self.job.recording
        if recording and not _is_trial(config):
            hydra_runs.write_overrides(recording, recording.run, config, at_end=False)
        elif recording:
            self.before = hydra_runs.active()
            name, first = self.sweep.study, self.sweep.before
            self.run = hydra_runs.begin(self.job, recording, config, study=name, first=first)

    def on_job_end(self, config: Any, job_return: Any, **rest: Any) -> None:
        """After the application's code, however it ended."""
        if self.job is None or self.job.recording is None:
            return
        recording = self.job.recording
        if not _is_trial(config):
            hydra_runs.write_overrides(recording, recording.run, config, at_end=True)
        elif self.run:
            hydra_runs.end_open(self.before, failed=hydra_runs.has_failed(job_return))
            name = self.sweep.study
            hydra_runs.end(recording, self.run, config, job_return, study=name)
            self.run = ""


def _is_trial(config: Any) -> bool:
    return bool(config.hydra.mode.name == "MULTIRUN")


#: How long a process waits for one that is just ending, in seconds.
PATIENCE = 30.0

#: The locks of this process; the kernel frees them when it dies.
_held: List[IO[Any]] = []


def visible() -> List[str]:
    """The GPUs that this process may use."""
    return [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]


def take(folder: Path, gpus: Sequence[str], *, patience: float = PATIENCE) -> bool:
    """Let this process, for as long as it lives, see one GPU that no other one of the job has.

    False where all are taken: the process then sees what it saw before.
    """
    if _held:
        return True
    deadline = time.monotonic() + patience
    while not _try(folder, gpus):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _try(folder: Path, gpus: Sequence[str]) -> bool:
    for number, gpu in enumerate(gpus):
        file = open(str(folder / f"gpu-{number}.lock"), "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _held.append(file)
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        return True
    return False
