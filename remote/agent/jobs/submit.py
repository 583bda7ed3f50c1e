"""Accept a job: freeze its code, write down what was asked, start its worker."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from remote.agent import environments, processes
from remote.agent import secrets as secret_values
from remote.agent.jobs.lifecycle import find, forget, state_of
from remote.agent.jobs.snapshot import freezing
from remote.agent.launchers import DEFAULT, launch
from remote.agent.launchers.launch import Launch
from remote.agent.target_dir import machine, root_of
from remote.errors import JobError
from remote.files import read_json, write_atomic, write_json
from remote.job.paths import STATE, JobPaths, jobs_folder, slug
from remote.job.state import ENDED, FINISHED, REFUSED

#: How the folder for code from another target begins, below the toolkit's own.
INCOMING = "incoming-"


def submit(
    *,
    key: str,
    job: Dict[str, Any],
    socket: str,
    diff: str = "",
    offline: bool = False,
    proxy: str = "",
) -> Dict[str, Any]:
    """Start a job; its id comes back. `need` comes back where something has to be brought first:
    `uv`, or, with `offline`, the address of a `proxy` to make the environment through.

    `diff` is what the pushed code has beyond its git commit. `again` in `job` names the job whose
    snapshot is to run once more, `incoming` code that was brought from another target for that. A
    service that goes on already is what comes back, in the place of a second one.
    """
    root = root_of(key)
    if not job.get("service"):
        return _submit(root, key, job, socket, diff, offline, proxy)
    from remote.agent.services import serving

    with serving.one_at_a_time(root):
        found = serving.running(root, job["service"])
        if found:
            return {"id": found.id, "environment_ready": True}
        return _submit(root, key, job, socket, diff, offline, proxy)


def _submit(
    root: Path,
    key: str,
    job: Dict[str, Any],
    socket: str,
    diff: str,
    offline: bool,
    proxy: str,
) -> Dict[str, Any]:
    source = _source(root, job)
    _check_source(source, job)
    env = environments.of(root, source, job.get("python", ""), job.get("extras", ()))
    if env.missing_programs():
        return {"need": env.missing_programs()[0], "platform": machine()}
    if offline and not proxy and not env.is_ready():
        return {"need": "proxy"}
    paths = create(root, job["name"])
    try:
        write_job(paths, {**job, "after": _first(root, job.get("after", ""))})
        if diff:
            write_atomic(paths.diff, diff.encode("utf-8", "surrogateescape"), mode=0o600)
        if proxy:
            write_atomic(paths.proxy, proxy.encode("ascii"), mode=0o600)
        # The worker starts while the code is frozen, and waits for that.
        with freezing(paths, source):
            launched = launch.start(paths, DEFAULT, _worker(key, paths.id), socket)
        _forget_incoming(source)
        _refuse(_wait_for_worker(paths, launched))
    except BaseException:
        _remove(paths.folder)
        forget(paths)
        raise
    return {"id": paths.id, "environment_ready": env.is_ready()}


def _source(root: Path, job: Dict[str, Any]) -> Path:
    """The code that the job is to run."""
    if job.get("again"):
        return JobPaths(root, job["again"]).code
    if job.get("incoming"):
        return root / STATE / (INCOMING + re.sub(r"[^0-9a-f]", "", job["incoming"]))
    return root


def _forget_incoming(source: Path) -> None:
    if source.name.startswith(INCOMING):
        _remove(source)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(str(folder), ignore_errors=True)


def _check_source(code: Path, job: Dict[str, Any]) -> None:
    if not code.is_dir():
        raise JobError("That job's code is not on this target any more.")
    if job["kind"] in ("notebook", "script", "mlproject") and not (code / job["source"]).exists():
        raise JobError(
            f"{job['source']} was not pushed to the server.", "Does .rsyncignore exclude it?"
        )


def _first(root: Path, name: str) -> str:
    """The whole id of the job that is to end well before this one begins."""
    if not name:
        return ""
    paths = find(root, name)
    state = state_of(paths)["state"]
    if state in ENDED and state != FINISHED:
        raise JobError(f"{paths.id}, which this job was to follow, has ended: {state}.")
    return paths.id


def _refuse(status: Dict[str, Any]) -> None:
    """A worker that could not even begin has its reason told to who submits."""
    if status.get("reason") == REFUSED:
        message, _, hint = status["cause"].partition("\n")
        raise JobError(message, hint)


def create(root: Path, name: str) -> JobPaths:
    """A new, empty job folder; its id is the time, the name, and four letters of chance."""
    jobs_folder(root).mkdir(parents=True, exist_ok=True)
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        paths = JobPaths(root, f"{stamp}-{slug(name)}-{os.urandom(2).hex()}")
        try:
            paths.folder.mkdir()
            paths.live.parent.mkdir(exist_ok=True)
            paths.live.touch()
            return paths
        except FileExistsError:
            continue


def write_job(paths: JobPaths, job: Dict[str, Any]) -> None:
    """Write down, once, what was asked. Readable by the owner alone: parameters may be private."""
    fixed = {
        **job,
        "id": paths.id,
        "root": str(paths.root),
        "host": os.uname().nodename,
        # What they hold stays where it is.
        "secrets": sorted(secret_values.read(paths.root)),
        "submitted": time.time(),
        "submitter": processes.identity(os.getpid()),
        "mlflow_run": os.urandom(16).hex(),
    }
    write_json(paths.job, fixed, mode=0o600)


def _worker(key: str, job_id: str) -> List[str]:
    return [sys.executable, "-IS", os.path.abspath(sys.argv[0]), "work", key, job_id]


def _wait_for_worker(paths: JobPaths, launched: Launch) -> Dict[str, Any]:
    """The worker's first word; none where a scheduler decides when it begins."""
    if launched.start_limit is None:
        return {}
    deadline = time.monotonic() + launched.start_limit
    while True:
        # Asked before the status is read: a worker that ends has written it.
        gone = launched.alive() is False or time.monotonic() > deadline
        status: Optional[Dict[str, Any]] = read_json(paths.status)
        if status is not None:
            return status
        if gone:
            raise JobError(
                f"{launched.launcher} started the job, but its worker never wrote its status.",
                launched.start_hint,
            )
        time.sleep(0.01)
