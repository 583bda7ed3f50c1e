"""JupyterLab in the target's live tree, with a token, on a port of loopback that is free."""

from __future__ import annotations

import json
import os
import pwd
import secrets
from pathlib import Path
from typing import Any, Dict, List
from urllib.parse import quote

from remote.files import sha256, write_json
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE, JobPaths
from remote.job.spec import Job

#: Saved notebooks get a twin as a Python script, unless the project's own jupytext.toml says else.
TWINS = "ipynb,py:percent"

#: What Jupyter calls a hook that hears of every file it saved.
HOOK = f"{__name__}.note_save"


def path(job: Job) -> str:
    """The page that a browser opens: the folder that was asked for, in the file browser."""
    folder = job.folder or ""
    return "/lab" if os.path.isabs(folder) else f"/lab/tree/{quote(folder)}"


def serve(paths: JobPaths, job: Job, private: Path) -> None:
    """Serve until told to end. What Jupyter would print of the token, or put on a command line,
    it takes from here."""
    from jupyterlab.labapp import LabApp

    (paths.root / (job.folder or "")).mkdir(parents=True, exist_ok=True)
    os.environ.update(_variables(paths, job, private))
    LabApp.launch_instance(argv=_options(paths, job, secrets.token_hex(24)))


def _variables(paths: JobPaths, job: Job, private: Path) -> Dict[str, str]:
    """The account's own configuration of Jupyter might open the server to others: it is passed
    over, but the user's settings of the page stay."""
    user = Path(os.environ.get("JUPYTER_CONFIG_DIR") or Path.home() / ".jupyter")
    return {
        "JUPYTER_RUNTIME_DIR": str(private),
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(user / "lab" / "user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(paths.root / STATE / "lab-workspaces"),
        "MLFLOW_EXPERIMENT_NAME": job.experiment,
        # tmux was told another one; terminals in the page are to be the account's.
        "SHELL": pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh",
        "REMOTE_JOB_FOLDER": str(paths.folder),
    }


def _options(paths: JobPaths, job: Job, token: str) -> List[str]:
    """They are handed to Jupyter inside this process: no command line shows the token."""
    folder = job.folder or ""
    found = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "ServerApp.root_dir": folder if os.path.isabs(folder) else str(paths.root),
        "ServerApp.kernel_manager_class": f"{__name__}.Kernels",
        "IdentityProvider.token": token,
        # By sockets in the private folder, not by ports on which others could listen.
        "KernelManager.transport": "ipc",
        "JupytextConfiguration.formats": TWINS,
        "FileContentsManager.post_save_hook": HOOK,
        # The environment is what the lock file says, for all jobs that have the same one.
        "LabApp.extension_manager": "readonly",
        # Nor does a server ask the world for news.
        "LabApp.news_url": "None",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    return [f"--{name}={value}" for name, value in found.items()]


def note_save(os_path: str, **rest: Any) -> None:
    """Write down which file of the project was saved, and how: a push would replace it."""
    paths = _job()
    name = os.path.relpath(os.path.realpath(os_path), str(paths.root))
    if name.startswith("..") or is_left_alone(name):
        return
    saved = json.loads(paths.saved.read_bytes()) if paths.saved.exists() else {}
    write_json(paths.saved, {**saved, name: sha256(Path(os_path))})


def _job() -> JobPaths:
    folder = Path(os.environ["REMOTE_JOB_FOLDER"])
    return JobPaths(folder.parent.parent.parent, folder.name)


def __getattr__(name: str) -> Any:
    """`Kernels`, for Jupyter, which is imported only where it is there."""
    if name != "Kernels":
        raise AttributeError(name)
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

    class Kernels(AsyncMappingKernelManager):  # type: ignore[misc]
        """A notebook of the project runs in the project's root, as it does as a job."""

        def cwd_for_path(self, path: str, **rest: Any) -> str:
            folder = str(super().cwd_for_path(path, **rest))
            root = str(_job().root)
            name = os.path.relpath(os.path.realpath(folder), root)
            # Jupyter asks without `env` where it wants to know the notebook's own folder.
            inside = not name.startswith("..") and not is_left_alone(name)
            return root if "env" in rest and inside else folder

    return Kernels
