"""The MLflow runs of a Hydra application: the job's own, and one for each run of a multirun.

MLflow is not imported: applications that never use it get their runs too.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from typing import Any, Dict, Iterator, Optional, Tuple

from remote.agent.tracking import child_runs, run_rows
from remote.runtime.hydra_config import listed, parameters
from remote.runtime.job_context import Job, Recording

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
        run_rows.set_tags(recording.store, run, {child_runs.TRIAL: child_runs.ENDED})


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
