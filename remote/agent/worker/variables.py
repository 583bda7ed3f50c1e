"""The environment variables of a job's code, and of what makes its environment."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterator

from remote.agent.environments.local_packages import import_roots
from remote.agent.target_dir import read_secrets
from remote.agent.tracking import job_run
from remote.agent.worker import Record
from remote.job.paths import JobPaths, states_folder

if TYPE_CHECKING:
    from remote.agent.environments import ProjectEnvironment

#: The folder that the agent's zip was unpacked to.
AGENT = Path(__file__).parents[3]

#: Settings of the login or of other tools that must not reach a job.
DROPPED = ("TMUX", "SSH_", "PYTHON", "MLFLOW_", "VIRTUAL_ENV", "CONDA_PREFIX", "REMOTE_")

#: Both spellings are in use, and either may be set for the account.
NAMES = tuple(
    name
    for scheme in ("HTTP", "HTTPS", "ALL")
    for name in (f"{scheme}_PROXY", f"{scheme.lower()}_proxy")
)


def base(python: Path) -> Dict[str, str]:
    """The variables of the account, with the environment of the job's Python first on PATH."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    return {**kept, **_activated(python, kept.get("PATH", os.defpath))}


def for_setup(record: Record) -> Dict[str, str]:
    """What the job's setup lines see: the account's variables, the secrets, what was asked for."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    return {**kept, **read_secrets(record.paths.root), **record.job.env}


def _activated(python: Path, path: str) -> Dict[str, str]:
    """What `activate` of the environment of a Python sets."""
    from shutil import which

    prefix, variables = python.parent.parent, {}
    if (prefix / "conda-meta").is_dir():
        variables = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix)}
    elif (prefix / "pyvenv.cfg").is_file():
        variables = {"VIRTUAL_ENV": str(prefix)}
    elif which(python.name, path=path) == str(python):
        # The system's own: its folder stays where it is among the others.
        return {"PATH": path}
    return {**variables, "PATH": f"{python.parent}{os.pathsep}{path}"}


def of_job(record: Record, code: Path, python: Path) -> Dict[str, str]:
    """What the job's code sees: the account's, the secrets', what was asked for, and ours."""
    paths, job, run = record.paths, record.job, record.run
    variables = {
        **base(python),
        **read_secrets(paths.root),
        **job.env,
        **{name: value for name, value in record.exports.items() if name != "PATH"},
        **job_run.store_settings(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        # tqdm's advice for notebooks that somebody looks at while they run.
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "JUPYTER_PATH": str(paths.jupyter),
        "JUPYTER_RUNTIME_DIR": str(paths.jupyter / "runtime"),
        "REMOTE_JOB_ID": paths.id,
        "REMOTE_JOB_STATE_DIR": str(state_folder(record)),
        "REMOTE_JOB_EXPERIMENT": job.experiment,
        "REMOTE_JOB_STORE": str(job_run.store_of_job(paths)),
        "REMOTE_JOB_STORES": str(paths.stores),
        "REMOTE_JOB_TAGS": json.dumps(job_run.tags(job, record.status.gpus)),
    }
    _add_import_path(variables, code, python)
    if not record.here and record.environment.kind.LOCK_FILES:
        _keep_environment(variables, code, record.environment)
    if not record.here and not record.environment.packages():
        variables["REMOTE_JOB_PACKAGES"] = str(paths.packages)
    if run is not None:
        variables["REMOTE_JOB_RUN"] = run.run_id
    return variables


def state_folder(record: Record) -> Path:
    """The folder, made if need be, of what the job goes on with when it is tried or run again."""
    origin = record.job.state
    folder = states_folder(record.paths.root) / (origin or record.paths.id)
    if origin and not folder.is_dir():
        record.say(
            f"{origin} kept nothing in REMOTE_JOB_STATE_DIR: this job starts from the beginning."
        )
    # On a full disk a job begins all the same.
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _add_import_path(variables: Dict[str, str], code: Path, python: Path) -> None:
    """Have each Python import the project behind installed packages, and then the agent
    (`remote/runtime/site/sitecustomize.py`)."""
    own = [variables["PYTHONPATH"]] if "PYTHONPATH" in variables else []
    variables["REMOTE_SITE"] = str(AGENT / "remote/runtime/site")
    variables["PYTHONPATH"] = os.pathsep.join([variables["REMOTE_SITE"], *own])
    places = [code / "src", code, *import_roots(python.parent.parent, code), AGENT]
    variables["REMOTE_IMPORT_PATH"] = os.pathsep.join(map(str, places))


def _keep_environment(
    variables: Dict[str, str], code: Path, environment: ProjectEnvironment
) -> None:
    """Have programs refused that would install into it (`remote_job_install.py` beside that)."""
    locks = [name for name in environment.kind.LOCK_FILES if (code / name).is_file()]
    variables["REMOTE_LOCK_FILE"] = locks[0] if locks else "the lock file"
    variables["REMOTE_ENVIRONMENT"] = str(environment.folder)
    variables["PATH"] = f"{AGENT / 'remote/runtime/bin'}{os.pathsep}{variables['PATH']}"


@contextlib.contextmanager
def proxied(paths: JobPaths) -> Iterator[None]:
    """Set the variables that name a proxy. Its address holds a password, and goes afterwards."""
    if not paths.proxy.is_file():
        yield
        return
    before = {name: os.environ.get(name) for name in NAMES}
    os.environ.update(dict.fromkeys(NAMES, paths.proxy.read_text()))
    try:
        yield
    finally:
        paths.proxy.unlink()
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
