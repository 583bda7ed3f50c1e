"""The jobs of a target: which there are, what became of them, and how one is stopped."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import List, Optional, Sequence

from remote.agent.launchers import launch
from remote.agent.launchers.launch import Launch
from remote.agent.target_dir import root_of
from remote.errors import JobError, ProtocolError
from remote.files import locked
from remote.job.fields import load, save
from remote.job.kinds import kind_of
from remote.job.messages.jobs import (
    JobsAnswer,
    JobsRequest,
    JobSummary,
    StopAnswer,
    StopRequest,
)
from remote.job.paths import ID_PATTERN, JobPaths, jobs_folder, live_folder
from remote.job.spec import Job
from remote.job.state import ENDED, LOST, QUEUED, STOPPED, UNKNOWN
from remote.job.status import JobStatus, Progress

#: How long a job of which no worker was started (yet) counts as queued, in seconds.
START_LIMIT = 60.0

#: Letters of an id that tell when the job was submitted: 20261231-235959.
STAMP = 15


def describe(request: JobsRequest) -> JobsAnswer:
    """The jobs of a target. Ended ones that nobody asks for are not even looked at."""
    root = root_of(request.key)
    if request.jobs:
        selected = [find(root, name) for name in request.jobs]
    else:
        all_jobs = every(root)
        shown = {paths.id for paths in [*live(root), *all_jobs[-request.newest :]]}
        selected = [paths for paths in all_jobs if paths.id in shown]
    summaries = [_summary(paths) for paths in selected]
    if any(job.state not in ENDED for job in summaries):
        from remote.agent.jobs.metrics import with_metrics

        summaries = with_metrics(root, summaries)
    return JobsAnswer(jobs=tuple(summaries), now=time.time())


def every(root: Path) -> List[JobPaths]:
    """The folders of all jobs, the oldest first."""
    folder = jobs_folder(root)
    return _in_order(root, os.listdir(str(folder)) if folder.is_dir() else [])


def _in_order(root: Path, names: Sequence[str]) -> List[JobPaths]:
    """Those of `names` that are jobs, in the order of their submission.

    An id tells the second; within it, job.json does, which is written once.
    """
    keyed = []
    for name in names:
        if ID_PATTERN.match(name):
            paths = JobPaths(root, name)
            with contextlib.suppress(OSError):
                written = os.stat(str(paths.job)).st_mtime_ns
                keyed.append(((name[:STAMP], written, name), paths))
    return [paths for _, paths in sorted(keyed, key=lambda pair: pair[0])]


def live(root: Path) -> List[JobPaths]:
    """The jobs that have not ended, as far as is known; the oldest first."""
    folder = live_folder(root)
    return _in_order(root, os.listdir(str(folder)) if folder.is_dir() else [])


def find(root: Path, part: str) -> JobPaths:
    """The job whose id is, or alone contains, `part`; `last` is the newest; raises JobError."""
    jobs = every(root)
    if not jobs:
        raise JobError("There is no job on this target yet.", "Start one: inv remote-run NOTEBOOK")
    if part in ("", "last"):
        return jobs[-1]
    exact = [paths for paths in jobs if paths.id == part]
    matching = exact or [paths for paths in jobs if part in paths.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise JobError(f"There is no job {part!r} on this target.", "inv remote-ps lists them.")
    names = ", ".join(paths.id for paths in matching[-5:])
    raise JobError(f"{part!r} is in the ids of {len(matching)} jobs.", f"Say more of it: {names}")


def job_of(paths: JobPaths) -> Optional[Job]:
    """What was asked of a job; None where its folder is half made, or half removed."""
    try:
        return load(Job, paths.job)
    except ProtocolError:
        return None


def state_of(paths: JobPaths) -> JobStatus:
    """What became of a job. One whose worker is gone without an end is written down as lost."""
    status = _status(paths)
    if status.state in ENDED:
        forget(paths)
        return status
    if status.state == UNKNOWN or _may_live(paths, status):
        return status
    with locked(paths.folder / "end.lock"):
        # The worker, or another look, may have written its end since.
        status = _status(paths)
        if status.state in ENDED:
            return status
        launched = _launch_of(paths, status)
        cause = launched.why_ended() if launched else "its worker is gone"
        return _end(paths, _lost(status, cause))


def _lost(status: JobStatus, cause: str) -> JobStatus:
    return replace(status, state=LOST, ended=time.time(), cause=cause, reason="lost", waiting="")


def _end(paths: JobPaths, status: JobStatus) -> JobStatus:
    """Write down the end of a job whose worker can't do so any more."""
    # Imported here and below since most calls of the agent start faster without.
    from remote.agent.tracking.job_run import end_runs
    from remote.agent.worker import results
    from remote.agent.worker.raw_data import ReadOnly

    job = job_of(paths)
    if job:
        status = replace(status, result=results.keep(paths, job, status) or status.result)
        results.keep_account(paths, job, status)
        end_runs(paths, job, status)
    save(paths.status, status)
    forget(paths)
    with contextlib.suppress(OSError, ValueError):
        ReadOnly(paths.root).give_back()
    return status


def forget(paths: JobPaths) -> None:
    """Take a job from the list of those that have not ended."""
    with contextlib.suppress(FileNotFoundError):
        paths.live.unlink()


def _status(paths: JobPaths) -> JobStatus:
    try:
        return load(JobStatus, paths.status) or JobStatus(QUEUED)
    except ProtocolError as error:
        # A newer version's, perhaps: not to be replaced by what this one makes of it.
        return JobStatus(UNKNOWN, cause=error.message)


def _may_live(paths: JobPaths, status: JobStatus) -> bool:
    launched = _launch_of(paths, status)
    if launched is None:
        return time.time() - paths.job.stat().st_mtime < START_LIMIT
    # Where that can't be told, it isn't lost.
    return launched.alive() is not False


def _launch_of(paths: JobPaths, status: JobStatus) -> Optional[Launch]:
    return launch.read(paths, status.worker)


#: What a summary has of what was asked; of the runs, the last attempt's counts.
_SHOWN = ("name", "kind", "source", "submitted", "experiment", "user", "after")


def _summary(paths: JobPaths) -> JobSummary:
    job, status = job_of(paths), state_of(paths)
    facts = {member.name: getattr(status, member.name) for member in fields(JobStatus)}
    if job:
        facts.update({name: getattr(job, name) for name in _SHOWN})
        facts["mlflow_run"] = status.mlflow_run or job.mlflow_run
    return JobSummary(**facts, id=paths.id, progress=_progress(paths))


def _progress(paths: JobPaths) -> Optional[Progress]:
    try:
        return load(Progress, paths.progress)
    except ProtocolError:
        return None


def stop(request: StopRequest) -> StopAnswer:
    """Ask the worker to end its job; kill it where it doesn't in time.

    Without a name it is the one job that goes on; raises JobError where there are several.
    """
    root = root_of(request.key)
    paths = find(root, request.job) if request.job else _only(root)
    status = state_of(paths)
    if status.state in ENDED:
        return StopAnswer(id=paths.id, status=status, already=True)
    launched = _launch_of(paths, status)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    launched.stop()
    deadline = time.monotonic() + request.patience
    while launched.alive() is not False and time.monotonic() < deadline:
        time.sleep(0.05)
    _see_to_the_end(paths, launched)
    return StopAnswer(id=paths.id, status=state_of(paths), already=False)


def _only(root: Path) -> JobPaths:
    going = [paths for paths in live(root) if state_of(paths).state not in ENDED]
    going = [paths for paths in going if not _serves(paths)] or going
    if len(going) == 1:
        return going[0]
    if not going:
        raise JobError("No job goes on here.", "inv remote-ps lists those that have ended.")
    names = ", ".join(paths.id for paths in going[-5:])
    raise JobError(f"{len(going)} jobs go on here: say which.", names)


def _serves(paths: JobPaths) -> bool:
    """Whether a job is a service: such a one is meant only where nothing else goes on."""
    job = job_of(paths)
    return job is not None and kind_of(job).serves


def _see_to_the_end(paths: JobPaths, launched: Launch) -> None:
    """Kill a worker that doesn't stop, and write the end of one that didn't; raises JobError."""
    alive = launched.alive()
    if alive is None:
        raise JobError(
            f"{paths.id} was asked to end; whether it did can't be told now.",
            "Look again: inv remote-ps",
        )
    if alive:
        launched.kill()
    status = _status(paths)
    if alive or status.state not in ENDED:
        cause = "killed" if alive else "stopped"
        ended = replace(status, state=STOPPED, ended=time.time(), cause=cause, reason="stopped")
        _end(paths, replace(ended, waiting=""))
