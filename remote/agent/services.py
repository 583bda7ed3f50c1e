"""Services: jobs that show something to their owner, in the live tree, and are no MLflow run.

A service is reached by a port of loopback and a token (JupyterLab), or by a socket in a folder of
its own that nobody else can enter (what has no log-in). One of a kind runs on a target at a time.

Under a scheduler that is a port or a socket of the job's node: the job writes down which, and a relay
that the scheduler starts beside it leads there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Dict, Iterable, NoReturn, Optional

from remote.agent import launchers, processes
from remote.agent.job_folders import every, find, job_of, live
from remote.agent.job_state import state_of
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.files import FULL, is_absent, read_json, sha256
from remote.job.messages import services as messages
from remote.job.messages.base import AnswerWithFile
from remote.job.paths import STATE, JobPaths, saved_folder
from remote.job.relay import MARK, Relay
from remote.job.status import ENDED, SOCKET, Serving

#: Seconds between two looks whether a service answers.
LOOK = 0.2


def look(request: messages.ServiceRequest) -> messages.ServiceAnswer:
    """A service, by its name while it goes on or by its job; an empty answer without one."""
    root = root_of(request.key)
    paths = running(root, request.service) if request.service else find(root, request.job)
    if paths is None:
        return messages.ServiceAnswer()
    return messages.ServiceAnswer(job=job_of(paths), address=_address(paths))


def running(root: Path, service: str) -> Optional[JobPaths]:
    """The job of the service that goes on, the newest should there be several."""
    for paths in reversed(live(root)):
        job = job_of(paths)
        if job and job.service == service and state_of(paths).state not in ENDED:
            return paths
    return None


def _address(paths: JobPaths) -> Optional[messages.ServiceAddress]:
    """Where it answers, here or on the job's node; None as long as it doesn't."""
    launched = launchers.read(paths, None)
    if launched is None or not launched.is_elsewhere:
        return address_here(paths)
    return messages.ServiceAddress.from_file(paths.address)


def address_here(paths: JobPaths) -> Optional[messages.ServiceAddress]:
    """Where a service of this machine answers; None as long as it doesn't."""
    serving = Serving.from_file(paths.serving)
    if serving is None:
        return None
    folder = Path(serving.folder)
    file = folder / SOCKET
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(file))
        return messages.ServiceAddress(path=serving.path, socket=str(file))
    # Jupyter's own account of a server that listens.
    for file in folder.glob("jpserver-*.json"):
        account = read_json(file) or {}
        if account.get("port"):
            return messages.ServiceAddress(serving.path, account["port"], account["token"])
    return None


def announce(paths: JobPaths) -> None:
    """Write down where the service that this process becomes answers, once it does; unless whoever
    asks can see that for themselves."""
    launched = launchers.read(paths, None)
    if launched is None or not launched.is_elsewhere:
        return
    address = address_here(paths)
    while address is None:
        time.sleep(LOOK)
        address = address_here(paths)
    address.replace(job=paths.id).to_file(paths.address, mode=0o600)


def relay(key: str, job_id: str) -> NoReturn:
    """Become the relay on the node of a service; raises JobError."""
    paths = find(root_of(key), job_id)
    launched = launchers.read(paths, None)
    if launched is None:
        raise JobError(f"{job_id} is just starting.", "Try again in a few seconds.")
    agent = processes.agent_argv("relay-here", key, job_id)
    argv = [*launched.row.beside(launched.handle, job_id), *agent]
    os.execvp(argv[0], argv)


def relay_here(key: str, job_id: str) -> None:
    """Lead connections from standard input and output to a service of this machine."""
    paths = find(root_of(key), job_id)
    out = sys.stdout.buffer
    out.write(MARK)
    out.flush()
    Relay(sys.stdin.buffer, out, lambda: _connected(paths)).run()


def _connected(paths: JobPaths) -> socket.socket:
    """A connection to the service; raises OSError."""
    address = address_here(paths)
    if address is None:
        raise ConnectionRefusedError(paths.id)
    if not address.socket:
        return socket.create_connection(("127.0.0.1", address.port))
    end = socket.socket(socket.AF_UNIX)
    end.connect(address.socket)
    return end


def find_saved(request: messages.SavedRequest) -> messages.SavedAnswer:
    """What was saved in JupyterLab among the pushed files, and is there still as it was saved.

    The lab itself notes what it saves (`remote.runtime.serve`). A file that a push or somebody
    else has changed since is no longer meant.
    """
    return messages.SavedAnswer(_saved(root_of(request.key)))


def keep_saved(paths: JobPaths) -> None:
    """Have what a job noted as saved be known when it is removed: a push would replace it still."""
    if not is_absent(paths.saved):
        kept = saved_folder(paths.root) / f"{paths.id}.json"
        try:
            kept.parent.mkdir(exist_ok=True)
            os.replace(str(paths.saved), str(kept))
        except OSError as error:
            # A disk so full that it takes no name any more needs room first.
            if error.errno not in FULL:
                raise


def _saved(root: Path) -> Dict[str, str]:
    notes = {paths.id: paths.saved for paths in every(root)}
    notes.update((path.stem, path) for path in saved_folder(root).glob("*.json"))
    noted: Dict[str, str] = {}
    # An id begins with the time of its submission.
    for job in sorted(notes):
        noted.update(read_json(notes[job]) or {})
    sums: Dict[str, str] = {}
    for path in {there for name in noted for there in _named_now(root, name)}:
        # What can't be read can't be sent.
        with contextlib.suppress(OSError):
            sums[path] = sha256(root / path)
    return {
        there: digest
        for name, digest in sorted(noted.items())
        for there in _named_now(root, name)
        if sums.get(there) == digest
    }


def _named_now(root: Path, name: str) -> Iterable[str]:
    """The file, or where it is gone those that may be it under another name in its folder."""
    file = root / name
    with contextlib.suppress(OSError):
        if is_absent(file):
            alike = (path for path in file.parent.iterdir() if path.suffix == file.suffix)
            return [path.relative_to(root).as_posix() for path in alike]
    return [name]


def fetch(request: messages.FetchRequest) -> AnswerWithFile:
    """Those of the saved files that are named, as a zip file."""
    import zipfile

    root = root_of(request.key)
    names = [name for name in _saved(root) if name in request.names]
    archive = root / STATE / f"saved-{os.urandom(8).hex()}.zip"
    times = {name: int(os.stat(str(root / name)).st_mtime) for name in names}
    try:
        with zipfile.ZipFile(str(archive), "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.writestr(name, (root / name).read_bytes())
    except BaseException:
        # As on a full disk.
        archive.unlink()
        raise
    return AnswerWithFile(messages.FetchAnswer(times), archive)
