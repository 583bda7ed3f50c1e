"""An Optuna sweep that goes on where it stopped: its study is kept, its number of trials total."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from pathlib import Path
from typing import IO, Any, Dict, List, Sequence, Tuple

from hydra.utils import instantiate
from omegaconf import OmegaConf

from remote.agent.tracking import run_rows
from remote.files import locked, try_lock
from remote.job.outputs import links
from remote.job.paths import slug
from remote.job.spec import JobSpec
from remote.runtime.job_context import Job

#: How the names of Optuna's sweepers begin.
SWEEPER = "hydra_plugins.hydra_optuna_sweeper."

#: Words that say how much and how fast, and not what is searched.
_HOW = re.compile(r"(--multirun|-m)\Z|\+*hydra(/launcher|\.launcher|\.sweeper\.n_(trials|jobs))\b")

#: Samplers that keep their own place in the study, and that another seed would put off.
_PLACED = ("GridSampler", "QMCSampler", "CmaEsSampler")

#: The lock on the study, held for as long as this process lives.
_held: List[IO[Any]] = []


def go_on(job: Job, config: Any) -> Tuple[str, int, Dict[str, Any]]:
    """A study's name, how many of its trials had ended before, and the settings by which a sweep
    uses it and does what is left of it; ends the process where nothing is."""
    sweeper = config.hydra.sweeper
    settings: Dict[str, Any] = {}
    name = sweeper.study_name
    if not name:
        name = settings["hydra.sweeper.study_name"] = study_name(job.spec, sweeper)
    if not sweeper.storage:
        # All sweeps of a target share this file; they wait for each other's writes.
        os.environ["REMOTE_STUDY_STORAGE"] = f"sqlite:///{_logs(job) / 'optuna.db'}?timeout=60"
        settings["hydra.sweeper.storage"] = "${oc.env:REMOTE_STUDY_STORAGE}"
    elif isinstance(sweeper.storage, str):
        file = re.match(r"sqlite:///(?!/)(\./)?([^/?]+)", sweeper.storage)
        if file and file[2] not in links(job.spec.outputs):
            say(
                f"{sweeper.storage} lies in this job's own copy of the code."
                " To keep it, put it below logs/."
            )
    ours = hold(job, name)
    found = _load(job, sweeper, name)
    trials = found.get_trials(deepcopy=False) if found else []
    if ours and found:
        take_back(job, found, name, trials)
    settings["hydra.sweeper.n_trials"] = _left(found, name, trials, _total(config), ours)
    seed = sweeper.sampler.get("seed")
    placed = str(sweeper.sampler.get("_target_", "")).endswith(_PLACED)
    if trials and seed is not None and not placed:
        # A sampler that starts again with its seed would ask for the same trials again.
        settings["hydra.sweeper.sampler.seed"] = seed + len(trials)
    return name, len(ended(trials)), settings


def study_name(job: JobSpec, sweeper: Any) -> str:
    """The same for the same command: what the job is called, and a hash of what is searched."""
    words = [word for word in job.arguments if not _HOW.match(word)]
    space = OmegaConf.to_container(sweeper.params) if sweeper.params else {}
    text = json.dumps([job.source, words, space], sort_keys=True)
    name = slug(job.name or "job")
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _logs(job: Job) -> Path:
    """The target's own `logs`: the job's code has a link to it."""
    folder = job.code / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def hold(job: Job, name: str) -> bool:
    """Whether this process is the only one of the target's jobs that works on the study."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".")[:100] or "study"
    file = open(str(_logs(job) / f"{safe}.lock"), "a")
    if try_lock(file, fcntl.LOCK_EX):
        _held.append(file)
        return True
    file.close()
    say(f"another job works on study {name}: the trials it runs are left to it.")
    return False


def _load(job: Job, sweeper: Any, name: str) -> Any:
    """The study; None where it is new."""
    import optuna

    described = sweeper.storage or os.environ["REMOTE_STUDY_STORAGE"]
    with locked(_logs(job) / "optuna.lock"):
        # Two that make the tables of one file at once fail.
        storage = optuna.storages.get_storage(
            described if isinstance(described, str) else instantiate(described)
        )
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None


def _total(config: Any) -> int:
    """How many trials the study is to have: a grid has no more than its points."""
    sweeper = config.hydra.sweeper
    if "GridSampler" not in str(sweeper.sampler.get("_target_", "")):
        return int(sweeper.n_trials)
    from hydra_plugins.hydra_optuna_sweeper import _impl

    told = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    space, fixed, _ = _impl.create_params_from_overrides([*told, *config.hydra.overrides.task])
    points = 1
    for name, distribution in space.items():
        if name not in fixed:
            points *= len(_impl.OptunaSweeperImpl._to_grid_sampler_choices(distribution))
    return min(int(sweeper.n_trials), points)


def _left(study: Any, name: str, trials: Sequence[Any], total: int, ours: bool) -> int:
    """How many trials are to be done; ends the process where there are none."""
    done = len(ended(trials))
    others = 0 if ours else len(running(trials))
    left = total - done - others
    if left <= 0 and others:
        say(f"study {name}: {done} of {total} trials are done, and another job runs the others.")
        raise SystemExit(0)
    if left <= 0:
        best = ""
        # None succeeded, or there are several objectives.
        with contextlib.suppress(ValueError, RuntimeError):
            best = f" (best {study.best_value:g})"
        say(
            f"study {name} has its {total} trials{best}. More:"
            f" hydra.sweeper.n_trials={2 * total}. A new one: hydra.sweeper.study_name=NAME"
        )
        raise SystemExit(0)
    if trials:
        say(f"study {name}: {done} of {total} trials were done before; going on")
    return left


def say(text: str) -> None:
    """Put a line of the toolkit's own into the job's log."""
    print(f"[remote] {text}", flush=True)


def ended(trials: Sequence[Any]) -> List[Any]:
    return [trial for trial in trials if trial.state.is_finished()]


def running(trials: Sequence[Any]) -> List[Any]:
    return [trial for trial in trials if trial.state.name == "RUNNING"]


def take_back(job: Job, study: Any, name: str, trials: Sequence[Any]) -> None:
    """Let Optuna ask the trials again that a killed job left, in the runs that they had."""
    from optuna.trial import TrialState

    left = [trial for trial in trials if not trial.state.is_finished()]
    if job.recording:
        store = job.recording.store
        runs = run_rows.trials(store, name)
        for run in runs_of(runs, left, ended(trials)):
            run_rows.update(store, run, {run_rows.TRIAL: run_rows.INTERRUPTED})
    for trial in running(trials):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def runs_of(
    runs: Sequence[run_rows.TrialRun], left: Sequence[Any], done: Sequence[Any]
) -> List[str]:
    """The runs that interrupted trials had.

    Trials with the same parameters have runs alike. Of these the oldest are those that ended: an
    interrupted trial is asked again before any new one.
    """
    found: List[str] = []
    for trial in left:
        alike = [run for run in runs if _is_of(run.overrides, trial)]
        finished = sum(1 for each in done if each.params == trial.params)
        free = [run for run in alike[finished:] if run.run_id not in found and not run.deleted]
        found += [run.run_id for run in free[:1]]
    return found


def _is_of(overrides: Sequence[str], trial: Any) -> bool:
    """Whether a run was told just what the sweeper tells for this trial."""
    searched = {f"{name}={value}" for name, value in trial.params.items()}
    fixed = {f"{name}={value}" for name, value in trial.user_attrs.items()}
    told = {each for each in overrides if not each.startswith("~")}
    return bool(searched) and searched <= told <= searched | fixed
