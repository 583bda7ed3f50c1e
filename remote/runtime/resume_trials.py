"""The trials that a killed job left: asked again, in the MLflow runs that they had."""

from __future__ import annotations

from typing import Any, List, Sequence

from remote.agent.tracking import child_runs, run_rows
from remote.runtime.job_context import Job


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
        runs = child_runs.trials(store, name)
        for run in runs_of(runs, left, ended(trials)):
            run_rows.set_tags(store, run, {child_runs.TRIAL: child_runs.INTERRUPTED})
    for trial in running(trials):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def runs_of(
    runs: Sequence[child_runs.TrialRun], left: Sequence[Any], done: Sequence[Any]
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
