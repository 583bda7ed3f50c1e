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
    before = run_rows.run_status(store, run)
    if before is None:
        experiment = Counter(name for name, *_ in rows).most_common(1)[0][0]
        _begin(store, sweep, experiment, min(start for *_, start, _ in rows))
    # Of one that was tried again, the last attempt tells; one that was rerun alone is another job.
    last = {job: (status, end or 0) for _, job, status, _, end in rows}
    ended = [last[job.id] for job in sweep.jobs if job.id in last and last[job.id][0] in _ENDS]
    if ended and len(ended) == sum(bool(job.id) for job in sweep.jobs):
        worst = min((status for status, _ in ended), key=_ENDS.index)
        run_rows.update(store, run, status=worst, end_time=max(end for _, end in ended))
        sweep.replace(ended=True).write(project.state)
    elif before in _ENDS:
        # Others of its jobs were started since.
        run_rows.update(store, run, status="RUNNING", end_time=None)


def _children(store: Path, run: str) -> Sequence[tuple[str, str, str, int, int]]:
    """Experiment, job, status, start and end of the jobs' runs, in the order of their beginnings."""
    query = (
        "SELECT e.name, j.value, r.status, r.start_time, r.end_time FROM tags t"
        " JOIN runs r ON r.run_uuid = t.run_uuid JOIN experiments e USING (experiment_id)"
        " JOIN tags j ON j.run_uuid = r.run_uuid AND j.key = 'remote.job'"
        " WHERE t.key = 'mlflow.parentRunId' AND t.value = ?"
        " AND r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active'"
        " ORDER BY r.start_time, r.rowid"
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
