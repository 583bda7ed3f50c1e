"""The runs of a Hydra application: their config, and their MLflow runs (the job's own, one a trial).

MLflow is not imported: applications that never use it get their runs too.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Tuple

from remote.agent.tracking import child_runs, run_rows
from remote.runtime.job_context import Job, Recording

#: What MLflow does not take in a name (mlflow.utils.validation).
_STRANGE = re.compile(r"[^\w.\- :/]")


@dataclass
class Parameters:
    """`scalars` are worth what user code would log for them; `others` may be logged otherwise."""

    scalars: Dict[str, str] = field(default_factory=dict)
    others: Dict[str, str] = field(default_factory=dict)


def listed(config: Any) -> List[str]:
    """The overrides of one run that are the application's, not Hydra's own."""
    return [str(override) for override in config.hydra.overrides.task]


def parameters(config: Any) -> Parameters:
    """The overrides of a run by what they change, with the values they have in its config."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    result = Parameters()
    choices = config.hydra.runtime.choices
    for override in OverridesParser.create().parse_overrides(listed(config)):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        name = _STRANGE.sub("_", key)
        if key in choices:
            result.others[name] = str(choices[key])
            continue
        value = OmegaConf.select(config, override.key_or_group)
        if OmegaConf.is_config(value):
            result.others[name] = str(OmegaConf.to_container(value))
        else:
            result.scalars[name] = str(value)
    return result


def change(config: Any, settings: Dict[str, Any]) -> None:
    """Change settings, named by their dotted names.

    They become overrides too: Hydra composes the config of each trial anew and refuses a trial
    whose launcher or sweeper then differs.
    """
    from omegaconf import OmegaConf, flag_override

    with flag_override(config.hydra, ["readonly", "struct"], False):
        for key, value in settings.items():
            OmegaConf.update(config, key, value, merge=False)
            config.hydra.overrides.hydra.append(f"{key}={value}")


def typed(config: Any, *starts: str) -> bool:
    """Whether the command line has an override that begins with one of `starts`."""
    overrides = [str(override).lstrip("+~") for override in config.hydra.overrides.hydra]
    return any(override.startswith(starts) for override in overrides)


def run_several(config: Any, count: int) -> None:
    """Run `count` trials at once, by joblib, unless the user or the application chose otherwise."""
    from omegaconf import flag_override

    choices = config.hydra.runtime.choices
    basic = choices.get("hydra/launcher") == "basic"
    if not basic or typed(config, "hydra/launcher", "hydra.launcher") or not _has_joblib():
        return
    from hydra.core.config_store import ConfigStore

    with flag_override(config.hydra, ["readonly", "struct"], False):
        config.hydra.launcher = ConfigStore.instance().load("hydra/launcher/joblib.yaml").node
        choices["hydra/launcher"] = "joblib"
        config.hydra.overrides.hydra.append("hydra/launcher=joblib")
    change(config, {"hydra.launcher.n_jobs": count})
    if "n_jobs" in config.hydra.sweeper and not typed(config, "hydra.sweeper.n_jobs"):
        change(config, {"hydra.sweeper.n_jobs": max(count, config.hydra.sweeper.n_jobs)})


def _has_joblib() -> bool:
    from importlib.util import find_spec

    return find_spec("hydra_plugins.hydra_joblib_launcher") is not None


OBJECTIVE = "objective"


def hide(recording: Recording) -> None:
    """Between trials no user code may go on with the job's own run; its runs are below it."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["REMOTE_PARENT_RUN"] = recording.run


def write_overrides(recording: Recording, run: str, config: Any, *, at_end: bool) -> None:
    """The overrides as parameters. Such as user code may write differently come at the end."""
    found = parameters(config)
    child_runs.add_params(
        recording.store, run, {**found.scalars, **(found.others if at_end else {})}
    )


def begin(job: Job, recording: Recording, config: Any, *, study: str, first: int) -> str:
    """Have a run for this trial and let user code go on with it; its id comes back."""
    tags = _tags(recording, config, study)
    run = None
    if study:
        overrides = listed(config)
        run = child_runs.take_up(recording.store, study=study, overrides=overrides, tags=tags)
    run = run or _make(job, recording, f"{job.name}-{first + config.hydra.job.num}", tags)
    os.environ["REMOTE_PARENT_RUN"] = run
    if recording.continues:
        os.environ["MLFLOW_RUN_ID"] = run
    write_overrides(recording, run, config, at_end=False)
    return run


def _tags(recording: Recording, config: Any, study: str) -> Dict[str, str]:
    own = {
        child_runs.PARENT: recording.run,
        child_runs.OVERRIDES: child_runs.spelled(listed(config)),
    }
    if study:
        own.update({child_runs.STUDY: study, child_runs.TRIAL: child_runs.RUNNING})
    return {**recording.tags, **own}


def _make(job: Job, recording: Recording, name: str, tags: Dict[str, str]) -> str:
    experiment = child_runs.experiment_of(recording.store, recording.run)
    made = run_rows.begin(
        recording.store,
        artifact_root=recording.artifacts,
        experiment=experiment or "Default",
        run_id=secrets.token_hex(16),
        run_name=name,
        user=job.spec.user,
        source_name=job.spec.source,
        tags=tags,
        params={},
        start_ms=_now(),
    )
    return made.run_id


def end(recording: Recording, run: str, config: Any, job_return: Any, *, study: str) -> None:
    """End a trial's run, with what the trial returned and the parameters nobody wrote."""
    hide(recording)
    write_overrides(recording, run, config, at_end=True)
    failed = has_failed(job_return)
    for name, value in () if failed else _objectives(job_return.return_value):
        child_runs.add_metric(recording.store, run, name, value, _now())
    status = "FAILED" if failed else "FINISHED"
    child_runs.close(recording.store, run, status=status, end_ms=_now())
    if study:
        run_rows.update(recording.store, run, {child_runs.TRIAL: child_runs.ENDED})


def has_failed(job_return: Any) -> bool:
    """Whether the application raised."""
    return str(job_return.status.name) != "COMPLETED"


def _objectives(result: Any) -> Iterator[Tuple[str, float]]:
    values = result if isinstance(result, (list, tuple)) else [result]
    for number, value in enumerate(values):
        try:
            name = OBJECTIVE if values is not result else f"{OBJECTIVE}_{number}"
            yield name, float(value)
        except (TypeError, ValueError):
            continue


def active() -> Optional[str]:
    """The run that user code has open in this process, by its id."""
    mlflow = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow else None
    return str(run.info.run_id) if run else None


def end_open(before: Optional[str], *, failed: bool) -> None:
    """End what the trial's user code opened and left open, or the next trial would go on there."""
    mlflow = sys.modules.get("mlflow")
    while mlflow and active() not in (None, before):
        mlflow.end_run("FAILED" if failed else "FINISHED")


def _now() -> int:
    return int(time.time() * 1000)
