"""Hydra's callback in a job: each run of a multirun gets an MLflow run, a sweep goes on."""

from __future__ import annotations

import os
from typing import Any, Optional

from hydra.experimental.callback import Callback

from remote.inside import belongs, runs, settings, slots, study


class JobCallback(Callback):
    """Named by `remote.inside.program`. It is pickled to the processes that a launcher starts."""

    def __init__(self) -> None:
        self.job = belongs.job()
        self.driver = os.getpid()
        self.gpus = slots.visible()
        self.sweep = study.Sweep(study="", before=0)
        #: The run of the trial that this process is at, and what user code had open before it.
        self.run = ""
        self.before: Optional[str] = None

    def on_multirun_start(self, config: Any, **rest: Any) -> None:
        """Before Hydra makes the sweeper and the launcher: their settings can still be changed."""
        if self.job is None:
            return
        if self.job.recording:
            runs.hide(self.job.recording)
        if len(self.gpus) > 1:
            settings.several(config, len(self.gpus))
        if study.is_optuna(config):
            self.sweep = study.go_on(self.job, config)

    def on_job_start(self, config: Any, **rest: Any) -> None:
        """Before the application's code, in the process that runs it."""
        if self.job is None:
            return
        if _is_trial(config) and len(self.gpus) > 1 and os.getpid() != self.driver:
            slots.take(self.job.folder, self.gpus)
        recording = self.job.recording
        if recording and not _is_trial(config):
            runs.write_overrides(recording, recording.run, config, at_end=False)
        elif recording:
            self.before = runs.active()
            name, first = self.sweep.study, self.sweep.before
            self.run = runs.begin(self.job, recording, config, study=name, first=first)

    def on_job_end(self, config: Any, job_return: Any, **rest: Any) -> None:
        """After the application's code, however it ended."""
        if self.job is None or self.job.recording is None:
            return
        recording = self.job.recording
        if not _is_trial(config):
            runs.write_overrides(recording, recording.run, config, at_end=True)
        elif self.run:
            runs.end_open(self.before, failed=runs.has_failed(job_return))
            name = self.sweep.study
            runs.end(recording, self.run, config, job_return, study=name)
            self.run = ""


def _is_trial(config: Any) -> bool:
    return bool(config.hydra.mode.name == "MULTIRUN")
