"""TensorBoard, on a socket: it has no log-in, and every user of a server reaches its ports."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from remote.job.paths import JobPaths
from remote.job.spec import Job


def path(job: Job) -> str:
    """The page that a browser opens."""
    return "/"


def serve(paths: JobPaths, job: Job, private: Path) -> None:
    """Serve until this process is ended."""
    from tensorboard.program import TensorBoard, TensorBoardServer
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log_request(self, *words: Any) -> None:
            pass

    class SocketServer(TensorBoardServer):  # type: ignore[misc]
        def __init__(self, app: Any, flags: Any) -> None:
            place = f"unix://{private / 'socket'}"
            self.server = make_server(place, 0, app, threaded=True, request_handler=Silent)

        def serve_forever(self) -> None:
            self.server.serve_forever()

        def get_url(self) -> str:
            return f"unix://{private / 'socket'}"

    board = TensorBoard(server_class=SocketServer)
    # The fast loader would listen on a port.
    board.configure(argv=["tensorboard", f"--logdir={job.logdir}", "--load_fast=false"])
    print(f"TensorBoard on {board.launch()}", flush=True)
    threading.Event().wait()
