"""Become a service of a target: JupyterLab, TensorBoard, or MLflow's UI.

TensorBoard and MLflow's UI have no log-in, and every user of a server reaches its ports: they
listen on a socket in a private folder. JupyterLab has a token, and a port of loopback that is
free.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shlex
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict
from urllib.parse import quote

from remote.agent.launchers.logind import me
from remote.agent.services import announce
from remote.files import sha256, write_json
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE, JobPaths
from remote.job.spec import Job, read_job
from remote.job.status import PRIVATE, SOCKET, Serving
from remote.runtime.terminal import serve_shell

MISSING = (
    "[remote] This environment lacks {name}. Add it to what that is made from: the lock file (inv add"
    " {name}), environment.yml, the image."
)


def main() -> None:
    """`serve <job folder>`: serves until it is told to end."""
    folder = Path(sys.argv[2]).resolve()
    os.environ["REMOTE_JOB_FOLDER"] = str(folder)
    job, paths = read_job(folder), _paths()
    private = Path(tempfile.mkdtemp(prefix=Path(PRIVATE).name, dir=str(Path(PRIVATE).parent)))
    page = "/"
    if job.service == "lab":
        # The folder that was asked for, in the file browser.
        shown = job.folder or ""
        page = "/lab" if os.path.isabs(shown) else f"/lab/tree/{quote(shown)}"
    Serving(str(private), page).to_file(paths.serving, mode=0o600)
    threading.Thread(target=announce, args=(paths,), daemon=True).start()
    try:
        SERVICES[job.service](paths, job, private)
    except ModuleNotFoundError as error:
        print(MISSING.format(name=error.name), file=sys.stderr)
        sys.exit(1)


def _paths() -> JobPaths:
    folder = Path(os.environ["REMOTE_JOB_FOLDER"])
    return JobPaths(folder.parent.parent.parent, folder.name)


def _serve_mlflow(paths: JobPaths, job: Job, private: Path) -> None:
    for name in ("mlflow", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    # Eight processes more, of which looking at records needs none.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    argv = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--no-serve-artifacts"]
    argv += ["--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]]
    argv += ["--default-artifact-root", str(paths.root / "mlruns")]
    # What others log through it is not this job's.
    os.environ.pop("REMOTE_JOB_TAGS", None)
    argv += ["--uvicorn-opts", f"--uds {shlex.quote(str(private / SOCKET))} --log-level warning"]
    os.execv(sys.executable, argv)


def _serve_tensorboard(paths: JobPaths, job: Job, private: Path) -> None:
    from tensorboard.program import TensorBoard, TensorBoardServer
    from werkzeug.serving import WSGIRequestHandler, make_server

    address = f"unix://{private / SOCKET}"

    class Silent(WSGIRequestHandler):
        def log_request(self, *words: Any) -> None:
            pass

    class SocketServer(TensorBoardServer):  # type: ignore[misc]
        def __init__(self, app: Any, flags: Any) -> None:
            self.server = make_server(address, 0, app, threaded=True, request_handler=Silent)

        def serve_forever(self) -> None:
            self.server.serve_forever()

        def get_url(self) -> str:
            return address

    board = TensorBoard(server_class=SocketServer)
    # The fast loader would listen on a port.
    board.configure(argv=["tensorboard", f"--logdir={job.logdir}", "--load_fast=false"])
    print(f"TensorBoard on {board.launch()}", flush=True)
    threading.Event().wait()


#: Of JupyterLab's settings, those that are the same for each job.
LAB = {
    "ServerApp.ip": "127.0.0.1",
    "ServerApp.port": "0",
    "ServerApp.open_browser": "False",
    "ServerApp.allow_root": "True",
    "ServerApp.kernel_manager_class": f"{__name__}.Kernels",
    # By sockets in the private folder, not by ports on which others could listen.
    "KernelManager.transport": "ipc",
    # Saved notebooks get a twin as a script, unless the project's own jupytext.toml says else.
    "JupytextConfiguration.formats": "ipynb,py:percent",
    "FileContentsManager.post_save_hook": f"{__name__}.note_save",
    # The environment is what the lock file says, for all jobs that have the same one.
    "LabApp.extension_manager": "readonly",
    # Nor does a server ask the world for news.
    "LabApp.news_url": "None",
    "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
}


def _serve_lab(paths: JobPaths, job: Job, private: Path) -> None:
    from jupyterlab.labapp import LabApp

    # The account's own configuration of Jupyter might open the server to others: it is passed
    # over, but the user's settings of the page stay.
    user = Path(os.environ.get("JUPYTER_CONFIG_DIR") or Path.home() / ".jupyter")
    os.environ.update(
        JUPYTER_RUNTIME_DIR=str(private),
        JUPYTER_CONFIG_DIR=str(private / "config"),
        JUPYTERLAB_SETTINGS_DIR=str(user / "lab" / "user-settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(paths.root / STATE / "lab-workspaces"),
        # tmux was told another one; terminals in the page are to be the account's.
        SHELL=me().pw_shell or "/bin/sh",
    )
    folder = job.folder or ""
    (paths.root / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        **LAB,
        "ServerApp.root_dir": folder if os.path.isabs(folder) else str(paths.root),
        # Handed over inside this process: no command line shows it.
        "IdentityProvider.token": secrets.token_hex(24),
    }
    LabApp.launch_instance(argv=[f"--{name}={value}" for name, value in settings.items()])


def note_save(os_path: str, **rest: Any) -> None:
    """Write down which file of the project was saved, and how: a push would replace it."""
    paths = _paths()
    name = os.path.relpath(os.path.realpath(os_path), str(paths.root))
    if name.startswith("..") or is_left_alone(name, read_job(paths.folder).outputs):
        return
    saved = json.loads(paths.saved.read_bytes()) if paths.saved.exists() else {}
    write_json(paths.saved, {**saved, name: sha256(Path(os_path))})


def __getattr__(name: str) -> Any:
    """`Kernels`, for Jupyter, which is imported only where it is there."""
    if name != "Kernels":
        raise AttributeError(name)
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

    class Kernels(AsyncMappingKernelManager):  # type: ignore[misc]
        """A notebook of the project runs in the project's root, as it does as a job."""

        def cwd_for_path(self, path: str, **rest: Any) -> str:
            folder = str(super().cwd_for_path(path, **rest))
            paths = _paths()
            root = str(paths.root)
            name = os.path.relpath(os.path.realpath(folder), root)
            # Jupyter asks without `env` where it wants to know the notebook's own folder.
            outputs = read_job(paths.folder).outputs
            inside = not name.startswith("..") and not is_left_alone(name, outputs)
            if not inside or "env" not in rest:
                return folder
            # The kernel's variables. It finds modules beside its notebook, as in a job.
            rest["env"]["REMOTE_NOTEBOOK_FOLDER"] = folder
            return root

    return Kernels


#: What a job may ask for. Each serves until this process is ended, and raises ModuleNotFoundError
#: for what is not installed.
SERVICES: Dict[str, Callable[[JobPaths, Job, Path], None]] = {
    "lab": _serve_lab,
    "shell": serve_shell,
    "tensorboard": _serve_tensorboard,
    "ui": _serve_mlflow,
}
