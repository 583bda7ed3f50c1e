"""Hydra's callback in a job: each run of a multirun gets an MLflow run, a sweep goes on.

MLflow is not imported: applications that never use it get their runs too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Dict, List, Optional, Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf, flag_override

from remote.agent.tracking import run_rows
from remote.files import try_lock
from remote.runtime import basic_grid, job_context, optuna_study, spread, sweep_key
from remote.runtime.job_context import Recording

#: How long a process waits for a GPU of one that is just ending, in seconds.
PATIENCE = 30.0

#: What MLflow does not take in a name (mlflow.utils.validation).
_STRANGE = re.compile(r"[^\w.\- :/]")

#: The locks of this process; the kernel frees them when it dies.
_held: List[IO[Any]] = []


def visible_devices() -> str:
    """The variable that tells which GPUs are the job's: NVIDIA's, or AMD's where that is set."""
    return (
        "ROCR_VISIBLE_DEVICES" if os.environ.get("ROCR_VISIBLE_DEVICES") else "CUDA_VISIBLE_DEVICES"
    )


class JobCallback(Callback):
    """Named by `remote.runtime.run_program`. It is pickled to the processes that a launcher starts."""

    def __init__(self) -> None:
        self.job = job_context.job()
        self.driver = os.getpid()
        self.allocation = os.environ.get(spread.VARIABLE, "")
        #: Where the runs of trials go, if not to the job's store.
        self.elsewhere: Optional[Recording] = None
        self.gpus = [gpu for gpu in os.environ.get(visible_devices(), "").split(",") if gpu]
        #: The study or grid that goes on, and how many trials it had before.
        self.study, self.first = "", 0
        #: The run of the trial that this process is at, and what user code had open before it.
        self.run = ""
        self.before: Optional[str] = None

    def on_multirun_start(self, config: Any, **rest: Any) -> None:
        """Before Hydra makes the sweeper and the launcher: their settings can still be changed."""
        if self.job is None:
            return
        recording = self.job.recording
        if recording:
            recording.withdraw()
        if len(self.gpus) > 1:
            run_several(config, len(self.gpus))
        sweeper = str(config.hydra.sweeper.get("_target_", ""))
        if sweeper.startswith(optuna_study.SWEEPER):
            self.study, self.first, settings = optuna_study.go_on(self.job, config)
            change(config, settings)
        elif recording and sweeper == basic_grid.SWEEPER:
            parts = sweep_key.parts_of(self.job, OmegaConf.to_container(config, enum_to_str=True))
            name = sweep_key.name_of(self.job, parts)
            if optuna_study.hold(self.job, name):
                self.study, self.first = name, basic_grid.go_on(recording, name)
        if recording and self.study:
            run_rows.update(recording.store, recording.run, {run_rows.STUDY: self.study})

    def on_job_start(self, config: Any, **rest: Any) -> None:
        """Before the application's code, in the process that runs it."""
        if self.job is None:
            return
        is_trial = config.hydra.mode.name == "MULTIRUN"
        if is_trial and spread.is_elsewhere(self.allocation):
            # It has the GPUs that the scheduler gave it.
            if self.job.recording:
                self.elsewhere = spread.own(self.job, self.job.recording)
        elif is_trial and len(self.gpus) > 1 and os.getpid() != self.driver:
            take_gpu(self.job.folder, self.gpus)
        recording = self.job.recording
        if recording and is_trial:
            self.before = _active()
            self.run = self._begin(self.job, recording, config)
        elif recording:
            _add_params(recording, recording.run, config, at_end=False)

    def on_job_end(self, config: Any, job_return: Any, **rest: Any) -> None:
        """After the application's code, however it ended."""
        if self.job is None or self.job.recording is None:
            return
        recording = self.job.recording
        if config.hydra.mode.name != "MULTIRUN":
            _add_params(recording, recording.run, config, at_end=True)
        elif self.run:
            self._end(self.elsewhere or recording, config, job_return)
            self.run = ""

    def _begin(self, job: job_context.Job, recording: Recording, config: Any) -> str:
        """Have a run for this trial and let user code go on with it; its id comes back."""
        overrides = _overrides(config)
        tags = {
            **recording.tags,
            run_rows.PARENT: recording.run,
            run_rows.OVERRIDES: run_rows.spelled(overrides),
        }
        run, store = None, (self.elsewhere or recording).store
        if self.study:
            study = self.study
            tags.update({run_rows.STUDY: study, run_rows.TRIAL: run_rows.RUNNING})
            run = run_rows.take_up(store, study=study, overrides=overrides, tags=tags)
        if run is None:
            run = run_rows.begin(
                store,
                experiment=run_rows.experiment_of(recording.store, recording.run) or "Default",
                run_id=secrets.token_hex(16),
                tags={
                    **tags,
                    "mlflow.runName": f"{job.spec.name or 'job'}-{self.first + config.hydra.job.num}",
                    "mlflow.user": job.spec.user,
                    "mlflow.source.name": job.spec.source,
                },
                start_ms=_now(),
            ).run_id
        recording.offer(run)
        _add_params(self.elsewhere or recording, run, config, at_end=False)
        return run

    def _end(self, recording: Recording, config: Any, job_return: Any) -> None:
        """End a trial's run, with what the trial returned and the parameters nobody wrote."""
        returned = job_return.status.name == "COMPLETED"
        status = "FINISHED" if returned else "FAILED"
        mlflow = sys.modules.get("mlflow")
        while mlflow and _active() not in (None, self.before):
            # What user code left open: the next trial would go on there.
            mlflow.end_run(status)
        recording.withdraw()
        if self.elsewhere is None:
            run_rows.join_experiment(recording.store, recording.run, self.run)
        _add_params(recording, self.run, config, at_end=True)
        result = job_return.return_value if returned else ()
        several = isinstance(result, (list, tuple))
        for number, value in enumerate(result if several else [result]):
            name = f"objective_{number}" if several else "objective"
            # What is no number isn't recorded.
            with contextlib.suppress(TypeError, ValueError):
                run_rows.add_metric(recording.store, self.run, name, float(value), _now())
        run_rows.close(recording.store, self.run, status=status, end_ms=_now())
        if self.study:
            run_rows.update(recording.store, self.run, {run_rows.TRIAL: run_rows.ENDED})


def _add_params(recording: Recording, run: str, config: Any, *, at_end: bool) -> None:
    """The overrides as parameters, with the values that they have in the run's config.

    A single value is worth what user code would log for it. A group's choice, a list or a table may
    be logged otherwise: they come at the end, where nobody logged them.
    """
    params: Dict[str, str] = {}
    choices = config.hydra.runtime.choices
    for override in OverridesParser.create().parse_overrides(_overrides(config)):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        if key in choices:
            value, is_single = choices[key], False
        else:
            value = OmegaConf.select(config, override.key_or_group)
            is_single = not OmegaConf.is_config(value)
            value = value if is_single else OmegaConf.to_container(value)
        if is_single or at_end:
            params[_STRANGE.sub("_", key)] = str(value)
    run_rows.update(recording.store, run, params=params)


def _overrides(config: Any) -> List[str]:
    """The overrides of one run that are the application's, not Hydra's own."""
    return [str(override) for override in config.hydra.overrides.task]


def _active() -> Optional[str]:
    """The run that user code has open in this process, by its id."""
    mlflow = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow else None
    return str(run.info.run_id) if run else None


def _now() -> int:
    return int(time.time() * 1000)


def change(config: Any, settings: Dict[str, Any]) -> None:
    """Change settings, named by their dotted names.

    They become overrides too: Hydra composes the config of each trial anew and refuses a trial
    whose launcher or sweeper then differs.
    """
    with flag_override(config.hydra, ["readonly", "struct"], False):
        for key, value in settings.items():
            OmegaConf.update(config, key, value, merge=False)
            config.hydra.overrides.hydra.append(f"{key}={value}")


def run_several(config: Any, count: int) -> None:
    """Run `count` trials at once, by joblib, unless the user or the application chose otherwise."""
    choices, sweeper = config.hydra.runtime.choices, config.hydra.sweeper
    typed = [str(override).lstrip("+~") for override in config.hydra.overrides.hydra]
    chosen = any(word.startswith(("hydra/launcher", "hydra.launcher")) for word in typed)
    has_joblib = find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    if chosen or choices.get("hydra/launcher") != "basic" or not has_joblib:
        return
    with flag_override(config.hydra, ["readonly", "struct"], False):
        config.hydra.launcher = ConfigStore.instance().load("hydra/launcher/joblib.yaml").node
        choices["hydra/launcher"] = "joblib"
        config.hydra.overrides.hydra.append("hydra/launcher=joblib")
    change(config, {"hydra.launcher.n_jobs": count})
    if "n_jobs" in sweeper and not any(word.startswith("hydra.sweeper.n_jobs") for word in typed):
        change(config, {"hydra.sweeper.n_jobs": max(count, sweeper.n_jobs)})


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
                os.environ[visible_devices()] = gpu
                return
            file.close()
        time.sleep(0.05)
