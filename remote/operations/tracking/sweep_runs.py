"""A sweep's own MLflow run, above those of its jobs: made here, where the runs of all targets meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from remote.agent.tracking import run_rows
from remote.config import Project
from remote.errors import JobError, StoreError
from remote.job.spec import sweep_run
from remote.operations.sweep_record import DAMAGE, Sweep, read_sweep, sweep_files
from remote.output import say
from remote.tracking.store import connect_read_only, usable
from remote.transport.rsync_problems import DAMAGED, Problem

#: How a job's run ends, the worst first: so ends the sweep's.
_ENDS = ("FAILED", "KILLED", "FINISHED")


def update_sweeps(project: Project, store: Path) -> list[Problem]:
    """Have the runs of sweeps tell how far those of their jobs are, as far as these are here; the files
    that don't tell which jobs those are."""
    problems = []
    for file in sweep_files(project.state):
        try:
            sweep = read_sweep(file)
            if not sweep.ended:
                _update(project, store, sweep)
        except JobError:
            name = file.relative_to(project.root).as_posix()
            problems.append(Problem(name, DAMAGE.partition(": ")[2], DAMAGED))
        except StoreError as error:
            say(f"the run of the sweep {file.stem}: {error.message}")
    return problems


def _update(project: Project, store: Path, sweep: Sweep) -> None:
    run, rows = sweep_run(sweep.id), _children(store, sweep_run(sweep.id))
    if not rows:
        return
    if run_rows.run_status(store, run) is None:
        experiment = Counter(name for name, *_ in rows).most_common(1)[0][0]
        _begin(store, sweep, experiment, min(start for *_, start, _ in rows))
    count = sum(bool(job.id) for job in sweep.jobs)
    ended = [(status, end or 0) for _, status, _, end in rows if status in _ENDS]
    if len(ended) >= count:
        worst = min((status for status, _ in ended), key=_ENDS.index)
        run_rows.update(store, run, status=worst, end_time=max(end for _, end in ended))
        sweep.replace(ended=True).write(project.state)


def _children(store: Path, run: str) -> Sequence[tuple[str, str, int, int]]:
    """Experiment, status, start and end of the jobs' runs."""
    query = (
        "SELECT e.name, r.status, r.start_time, r.end_time FROM tags t"
        " JOIN runs r ON r.run_uuid = t.run_uuid JOIN experiments e USING (experiment_id)"
        " WHERE t.key = 'mlflow.parentRunId' AND t.value = ?"
        " AND r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'"
    )
    with usable(store), closing(connect_read_only(store)) as database:
        return database.execute(query, (run,)).fetchall()


def _begin(store: Path, sweep: Sweep, experiment: str, start: int) -> None:
    values: dict[str, list[str]] = {}
    for job in sweep.jobs:
        for name, value in job.values.items():
            values.setdefault(name, []).append(str(value))
    run_rows.begin(
        store,
        experiment=experiment,
        run_id=sweep_run(sweep.id),
        tags={
            "mlflow.runName": sweep.id,
            "mlflow.user": sweep.user,
            "mlflow.source.name": sweep.program,
            "remote.sweep": sweep.id,
        },
        params={name: ", ".join(dict.fromkeys(each))[:6000] for name, each in values.items()},
        start_ms=start,
    )
