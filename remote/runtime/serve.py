"""Become a service of a target: JupyterLab, TensorBoard, or MLflow's UI.

TensorBoard and MLflow's UI have no log-in, and every user of a server reaches its ports: they
listen on a socket in a private folder. JupyterLab has a token (see `serve_lab`).
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple

from remote.job.fields import save
from remote.job.paths import JobPaths
from remote.job.serving import PRIVATE, Serving
from remote.job.spec import Job, read_job
from remote.runtime import serve_lab

MISSING = "[remote] This environment lacks {name}. Add it to the lock file: make lock"


class Service(NamedTuple):
    """One kind of page."""

    serve: Callable[[JobPaths, Job, Path], None]
    """Serve until this process is ended; raises ModuleNotFoundError for what is not installed."""
    path: Callable[[Job], str] = lambda job: "/"
    """What a browser opens, below the service's own address."""


def main() -> None:
    """`serve <job folder>`: serves until it is told to end."""
    folder = Path(sys.argv[2]).resolve()
    paths = JobPaths(folder.parent.parent.parent, folder.name)
    job = read_job(folder)
    service = SERVICES[job.service]
    private = Path(tempfile.mkdtemp(prefix=Path(PRIVATE).name, dir=str(Path(PRIVATE).parent)))
    save(paths.serving, Serving(str(private), service.path(job)), mode=0o600)
    try:
        service.serve(paths, job, private)
    except ModuleNotFoundError as error:
        print(MISSING.format(name=error.name), file=sys.stderr)
        sys.exit(1)


def _serve_mlflow(paths: JobPaths, job: Job, private: Path) -> None:
    for name in ("mlflow", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    # Eight processes more, of which looking at records needs none.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    argv = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--no-serve-artifacts"]
    argv += ["--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]]
    argv += ["--default-artifact-root", str(paths.root / "mlruns")]
    argv += ["--uvicorn-opts", f"--uds {shlex.quote(str(private / 'socket'))} --log-level warning"]
    os.execv(sys.executable, argv)


def _serve_tensorboard(paths: JobPaths, job: Job, private: Path) -> None:
    from tensorboard.program import TensorBoard, TensorBoardServer
    from werkzeug.serving import WSGIRequestHandler, make_server

    address = f"unix://{private / 'socket'}"

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


#: What a job may ask for.
SERVICES: Dict[str, Service] = {
    "lab": Service(serve_lab.serve, serve_lab.path),
    "tensorboard": Service(_serve_tensorboard),
    "ui": Service(_serve_mlflow),
}
