"""The jobs of a target: which there are, what became of them, and how one is stopped."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from remote.agent.launchers import launch
from remote.agent.launchers.launch import Launch
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.files import locked, read_json, write_json
from remote.job.paths import ID_PATTERN, JobPaths, jobs_folder, live_folder
from remote.job.state import ENDED, LOST, QUEUED, STOPPED

#: How long a job of which no worker was started (yet) counts as queued, in seconds.
START_LIMIT = 60.0

#: Letters of an id that tell when the job was submitted: 20261231-235959.
STAMP = 15


def describe(*, key: str, newest: int = 0, jobs: Sequence[str] = ()) -> Dict[str, Any]:
    """The jobs of a target, the oldest first, with the server's own clock.

    `newest` above 0 asks for that many, and for all that have not ended; `jobs` for those alone,
    by what names them. Ended jobs that nobody asks for are not even looked at.
    """
    root = root_of(key)
    if jobs:
        chosen = [find(root, name) for name in jobs]
    else:
        everyone = every(root)
        shown = {paths.id for paths in [*live(root), *everyone[-newest:]]}
        chosen = [paths for paths in everyone if paths.id in shown]
    found = [_described(paths) for paths in chosen]
    going = [job for job in found if job["state"] not in ENDED]
    if going:
        from remote.agent.jobs.metrics import add_metrics

        add_metrics(root, going)
    return {"jobs": found, "now": time.time()}


def every(root: Path) -> List[JobPaths]:
    """The folders of all jobs, the oldest first."""
    folder = jobs_folder(root)
    return _in_order(root, os.listdir(str(folder)) if folder.is_dir() else [])


def _in_order(root: Path, names: Sequence[str]) -> List[JobPaths]:
    """Those of `names` that are jobs, in the order of their submission.

    An id tells the second; within it, job.json does, which is written once.
    """
    found = []
    for name in names:
        if ID_PATTERN.match(name):
            paths = JobPaths(root, name)
            with contextlib.suppress(OSError):
                found.append((name[:STAMP], os.stat(str(paths.job)).st_mtime_ns, name, paths))
    return [paths for _, _, _, paths in sorted(found, key=lambda each: each[:3])]


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
    found = exact or [paths for paths in jobs if part in paths.id]
    if len(found) == 1:
        return found[0]
    if not found:
        raise JobError(f"There is no job {part!r} on this target.", "inv remote-ps lists them.")
    names = ", ".join(paths.id for paths in found[-5:])
    raise JobError(f"{part!r} is in the ids of {len(found)} jobs.", f"Say more of it: {names}")


def state_of(paths: JobPaths) -> Dict[str, Any]:
    """What became of a job. One whose worker is gone without an end is written down as lost."""
    status = _status(paths)
    if status["state"] in ENDED:
        forget(paths)
        return status
    if _may_live(paths, status):
        return status
    with locked(paths.folder / "end.lock"):
        # The worker, or another look, may have written its end since.
        status = _status(paths)
        if status["state"] in ENDED:
            return status
        launched = _launch_of(paths, status)
        cause = launched.why_ended() if launched else "its worker is gone"
        return _ended(paths, {**status, **_lost(cause)})


def _lost(cause: str) -> Dict[str, Any]:
    return {"state": LOST, "ended": time.time(), "cause": cause, "reason": "lost", "waiting": ""}


def _ended(paths: JobPaths, status: Dict[str, Any]) -> Dict[str, Any]:
    """Write down the end of a job whose worker can't do so any more."""
    # Imported here and below since most calls of the agent start faster without.
    from remote.agent.tracking.job_run import end_runs
    from remote.agent.worker import results
    from remote.agent.worker.raw_data import ReadOnly

    job = read_json(paths.job) or {}
    if job:
        kept = results.keep(paths, job, status["state"], status)
        status = {**status, "result": kept} if kept else status
        results.keep_account(paths, job, status)
        end_runs(paths, job, status["state"], status)
    write_json(paths.status, status)
    forget(paths)
    with contextlib.suppress(OSError, ValueError):
        ReadOnly(paths.root).give_back()
    return status


def forget(paths: JobPaths) -> None:
    """Take a job from the list of those that have not ended."""
    with contextlib.suppress(FileNotFoundError):
        paths.live.unlink()


def _status(paths: JobPaths) -> Dict[str, Any]:
    return read_json(paths.status) or {"state": QUEUED}


def _may_live(paths: JobPaths, status: Dict[str, Any]) -> bool:
    launched = _launch_of(paths, status)
    if launched is None:
        return time.time() - paths.job.stat().st_mtime < START_LIMIT
    # Where that can't be told, it isn't lost.
    return launched.alive() is not False


def _launch_of(paths: JobPaths, status: Dict[str, Any]) -> Optional[Launch]:
    return launch.read(paths, status.get("worker"))


def _described(paths: JobPaths) -> Dict[str, Any]:
    job = read_json(paths.job) or {}
    shown = ("name", "kind", "source", "submitted", "mlflow_run", "experiment", "user", "after")
    return {
        "id": paths.id,
        **{name: job.get(name) for name in shown},
        **state_of(paths),
        "progress": read_json(paths.progress),
    }


def stop(*, key: str, job: str, patience: float = 20.0) -> Dict[str, Any]:
    """Ask the worker to end its job; kill it after `patience` seconds.

    Without a name it is the one job that goes on; raises JobError where there are several.
    """
    root = root_of(key)
    paths = find(root, job) if job else _only(root)
    status = state_of(paths)
    if status["state"] in ENDED:
        return {"id": paths.id, "status": status, "already": True}
    launched = _launch_of(paths, status)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    launched.stop()
    deadline = time.monotonic() + patience
    while launched.alive() is not False and time.monotonic() < deadline:
        time.sleep(0.05)
    _see_to_the_end(paths, launched)
    return {"id": paths.id, "status": state_of(paths), "already": False}


def _only(root: Path) -> JobPaths:
    going = [paths for paths in live(root) if state_of(paths)["state"] not in ENDED]
    # A service is meant only where nothing else goes on.
    going = [paths for paths in going if not (read_json(paths.job) or {}).get("service")] or going
    if len(going) == 1:
        return going[0]
    if not going:
        raise JobError("No job goes on here.", "inv remote-ps lists those that have ended.")
    names = ", ".join(paths.id for paths in going[-5:])
    raise JobError(f"{len(going)} jobs go on here: say which.", names)


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
    if alive or status["state"] not in ENDED:
        cause = "killed" if alive else "stopped"
        ended = {"state": STOPPED, "ended": time.time(), "cause": cause, "reason": "stopped"}
        _ended(paths, {**status, **ended, "waiting": ""})
