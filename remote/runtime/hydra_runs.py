"""The runs of a Hydra application: their config, and their MLflow runs (the job's own, one a trial).

MLflow is not imported: applications that never use it get their runs too.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from importlib.util import find_spec
from typing import Any, Dict, Iterator, List, Optional, Tuple

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, flag_override

from remote.agent.tracking import run_rows
from remote.runtime.job_context import Job, Recording

#: What MLflow does not take in a name (mlflow.utils.validation).
_STRANGE = re.compile(r"[^\w.\- :/]")

FINISHED, FAILED = "FINISHED", "FAILED"


def listed(config: Any) -> List[str]:
    """The overrides of one run that are the application's, not Hydra's own."""
    return [str(override) for override in config.hydra.overrides.task]


def parameters(config: Any) -> Tuple[Dict[str, str], Dict[str, str]]:
    """The overrides of a run by what they change, with the values they have in its config.

    The first ones are worth what user code would log for them; the others may be logged otherwise.
    """
    scalars: Dict[str, str] = {}
    others: Dict[str, str] = {}
    choices = config.hydra.runtime.choices
    for override in OverridesParser.create().parse_overrides(listed(config)):
        if override.is_delete():
            continue
        key = override.get_key_element().lstrip("+")
        name = _STRANGE.sub("_", key)
        if key in choices:
            others[name] = str(choices[key])
            continue
        value = OmegaConf.select(config, override.key_or_group)
        if OmegaConf.is_config(value):
            others[name] = str(OmegaConf.to_container(value))
        else:
            scalars[name] = str(value)
    return scalars, others


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


def hide(recording: Recording) -> None:
    """Between trials no user code may go on with the job's own run; its runs are below it."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["REMOTE_PARENT_RUN"] = recording.run


def write_overrides(recording: Recording, run: str, config: Any, *, at_end: bool) -> None:
    """The overrides as parameters. Such as user code may write differently come at the end."""
    scalars, others = parameters(config)
    run_rows.update(recording.store, run, params={**scalars, **others} if at_end else scalars)


def begin(job: Job, recording: Recording, config: Any, *, study: str, first: int) -> str:
    """Have a run for this trial and let user code go on with it; its id comes back."""
    overrides = listed(config)
    tags = {
        **recording.tags,
        run_rows.PARENT: recording.run,
        run_rows.OVERRIDES: run_rows.spelled(overrides),
    }
    run = None
    if study:
        tags.update({run_rows.STUDY: study, run_rows.TRIAL: run_rows.RUNNING})
        run = run_rows.take_up(recording.store, study=study, overrides=overrides, tags=tags)
    if run is None:
        run = run_rows.begin(
            recording.store,
            experiment=run_rows.experiment_of(recording.store, recording.run) or "Default",
            run_id=secrets.token_hex(16),
            tags={
                **tags,
                "mlflow.runName": f"{job.spec.name or 'job'}-{first + config.hydra.job.num}",
                "mlflow.user": job.spec.user,
                "mlflow.source.name": job.spec.source,
            },
            start_ms=_now(),
        ).run_id
    os.environ["REMOTE_PARENT_RUN"] = run
    if recording.continues:
        os.environ["MLFLOW_RUN_ID"] = run
    write_overrides(recording, run, config, at_end=False)
    return run


def end(recording: Recording, run: str, config: Any, job_return: Any, *, study: str) -> None:
    """End a trial's run, with what the trial returned and the parameters nobody wrote."""
    hide(recording)
    write_overrides(recording, run, config, at_end=True)
    status = _status(job_return)
    for name, value in _objectives(job_return.return_value) if status == FINISHED else ():
        run_rows.add_metric(recording.store, run, name, value, _now())
    run_rows.close(recording.store, run, status=status, end_ms=_now())
    if study:
        run_rows.update(recording.store, run, {run_rows.TRIAL: run_rows.ENDED})


def _status(job_return: Any) -> str:
    """What MLflow calls it: the application returned, or it raised."""
    return FINISHED if job_return.status.name == "COMPLETED" else FAILED


def _objectives(result: Any) -> Iterator[Tuple[str, float]]:
    several = isinstance(result, (list, tuple))
    for number, value in enumerate(result if several else [result]):
        try:
            yield f"objective_{number}" if several else "objective", float(value)
        except (TypeError, ValueError):
            continue


def active() -> Optional[str]:
    """The run that user code has open in this process, by its id."""
    mlflow = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow else None
    return str(run.info.run_id) if run else None


def end_open(before: Optional[str], job_return: Any) -> None:
    """End what the trial's user code opened and left open, or the next trial would go on there."""
    mlflow = sys.modules.get("mlflow")
    while mlflow and active() not in (None, before):
        mlflow.end_run(_status(job_return))


def _now() -> int:
    return int(time.time() * 1000)
