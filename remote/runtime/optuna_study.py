"""An Optuna sweep that goes on where it stopped: its study is kept, its number of trials total."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path
from typing import IO, Any, Dict, Iterable, List, Sequence, Tuple

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import OmegaConf, flag_override

from remote.agent.tracking import run_rows
from remote.files import locked, try_lock
from remote.job.outputs import links
from remote.runtime import sweep_key
from remote.runtime.job_context import Job

#: How the names of Optuna's sweepers begin.
SWEEPER = "hydra_plugins.hydra_optuna_sweeper."

#: The attribute of a study that says which job's sweep it is, and what decides its outcome.
SWEEP = "remote.sweep"

#: Samplers that keep their own place in the study, and that another seed would put off.
_PLACED = ("GridSampler", "QMCSampler", "CmaEsSampler")

#: The lock on the study, held for as long as this process lives.
_held: List[IO[Any]] = []


def go_on(job: Job, config: Any) -> Tuple[str, int, Dict[str, Any]]:
    """A study's name, how many of its trials had ended before, and the settings by which a sweep
    uses it and does what is left of it; ends the process where nothing is.

    Where the user says where the study is kept and what it is called, or that it isn't kept, Hydra
    does what it does without a job: there is no name then, and there are no settings.
    """
    sweeper = config.hydra.sweeper
    if not _is_kept_by_us(job, config):
        return "", 0, {}
    # All sweeps of a target share this file; they wait for each other's writes.
    ours = f"sqlite:///{_logs(job) / 'optuna.db'}?timeout=60"
    name, study = _open(job, config, sweeper.storage or ours)
    os.environ.update(REMOTE_STUDY_STORAGE=ours, REMOTE_STUDY_NAME=name)
    settings: Dict[str, Any] = {"hydra.sweeper.study_name": "${oc.env:REMOTE_STUDY_NAME}"}
    if not sweeper.storage:
        settings["hydra.sweeper.storage"] = "${oc.env:REMOTE_STUDY_STORAGE}"
    is_held = hold(job, name)
    trials = study.get_trials(deepcopy=False)
    if is_held:
        take_back(job, study, name, trials)
    settings["hydra.sweeper.n_trials"] = _left(study, name, trials, _total(config), is_held)
    seed = sweeper.sampler.get("seed")
    placed = str(sweeper.sampler.get("_target_", "")).endswith(_PLACED)
    if trials and seed is not None and not placed:
        # A sampler that starts again with its seed would ask for the same trials again.
        settings["hydra.sweeper.sampler.seed"] = seed + len(trials)
    return name, len(ended(trials)), settings


def _is_kept_by_us(job: Job, config: Any) -> bool:
    """Whether a sweep goes on in a study that is found again by what decides its outcome."""
    import optuna

    storage, name = config.hydra.sweeper.storage, config.hydra.sweeper.study_name
    is_old = int(optuna.__version__.split(".")[0]) < 3
    file = re.match(r"sqlite:///(?!/)(\./)?([^/?]+)", str(storage))
    if file and file[2] not in links(job.spec.outputs):
        say(f"{storage} lies in this job's own copy of the code. To keep it, put it below logs/.")
    if is_old and not storage:
        say(
            f"Optuna {optuna.__version__} keeps no study here: typed again, this sweep starts anew."
            " To go on with a sweep: hydra-optuna-sweeper>=1.4.0rc3, whose Hydra makes other"
            " objects of `_partial_: true`, which may break the project."
        )
    elif not storage and _is_null_by_choice(config):
        say("hydra.sweeper.storage is null in the configuration: the study isn't kept.")
    else:
        return not is_old and not (storage and name)
    return False


def _is_null_by_choice(config: Any) -> bool:
    """Whether the user's configuration or words say `storage: null`, as the sweeper's default does:
    composed with another default, it stays null."""
    default = ConfigStore.instance().repo["hydra"]["sweeper"]["optuna.yaml"].node
    words = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
    load = GlobalHydra.instance().config_loader().load_configuration
    with flag_override(default, ["readonly", "struct"], False):
        default.storage = "by default"
        try:
            composed = load(config.hydra.job.config_name, words, run_mode=RunMode.MULTIRUN)
        finally:
            default.storage = None
    return composed.hydra.sweeper.storage is None


def _open(job: Job, config: Any, described: Any) -> Tuple[str, Any]:
    """The study of this sweep and its name, a new one where what decides its outcome has changed."""
    import optuna

    settings: Any = OmegaConf.to_container(config, enum_to_str=True)
    parts, direction = sweep_key.parts_of(job, settings), settings["hydra"]["sweeper"]["direction"]
    # Two that make the tables of one file at once fail, and one name is taken by one of two.
    with locked(_logs(job) / "optuna.lock"):
        storage = optuna.storages.get_storage(
            described if isinstance(described, str) else instantiate(described)
        )
        studies = storage.get_all_studies()
        sweeps = {study.study_name: study.user_attrs.get(SWEEP, {}) for study in studies}
        name = config.hydra.sweeper.study_name or sweep_key.name_of(job, parts)
        if sweeps.get(name, {"parts": parts}).get("parts") != parts:
            name = sweep_key.name_of(job, parts, name)
        if name not in sweeps:
            _say_what_changed(job, name, parts, sweeps.values())
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=direction if isinstance(direction, list) else [direction],
            load_if_exists=True,
        )
        facts = {"source": job.spec.source, "job": job.folder.name, "parts": parts}
        study.set_user_attr(SWEEP, facts)
    return name, study


def _say_what_changed(
    job: Job, name: str, parts: Dict[str, str], sweeps: Iterable[Dict[str, Any]]
) -> None:
    """Compare a new study with the last one of the same program."""
    before = [sweep for sweep in sweeps if sweep.get("source") == job.spec.source]
    last = max(before, key=lambda sweep: str(sweep["job"]), default={"parts": parts})
    changed = " and the ".join(part for part in parts if last["parts"].get(part) != parts[part])
    if changed:
        say(
            f"{name} is a new study: the {changed} changed since {last['job']}. How: inv remote-diff"
            f" {last['job']} {job.folder.name}. To continue that: inv remote-rerun {last['job']}"
        )


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
        say(f"study {name}: {done} of {total} trials were done before; continuing")
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
