"""The agent's entrance: one JSON request, one framed answer on standard output.

An answer is `FRAME <length of JSON> <length of blob>\\n<JSON><blob>`. Whatever a login shell prints
before the frame is the client's to skip. A verb that follows something answers more than once.

Requests and answers are the classes of remote.job.messages. In the place of an answer there may be
`{"error": {"kind": …, "message": …, "hint": …}}`, which is for the user, or `{"bug": <traceback>}`.
Before it there may be `{"notice": {"words": …}}`, where a lock is held by another.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from remote import files
from remote.errors import ProtocolError, RemoteError, TargetError
from remote.job.messages.base import FRAME, AnswerWithFile, Notice


class Verb(NamedTuple):
    """Who handles a verb: a function of a module below remote.agent, which is imported only then.

    The function takes an instance of `request`, a class of a module of remote.job.messages; one
    that is `following` also takes `send`, for the answers before its last one. One that is `heard`
    changes nothing that somebody waits for: it ends where nobody hears its answer any more.
    """

    module: str
    function: str
    request: str
    following: bool = False
    heard: bool = False


VERBS: Dict[str, Verb] = {
    "prepare": Verb("target_dir", "prepare", "target.PrepareRequest"),
    "clear": Verb("raw_data", "clear", "target.ClearRequest"),
    "room": Verb("room", "measure", "target.RoomRequest"),
    "tree": Verb("dead_pushes", "end_dead", "target.TreeRequest"),
    "examine": Verb("server_facts", "examine", "target.ExamineRequest"),
    "submit": Verb("jobs.sweep", "submit", "jobs.SubmitRequest"),
    "jobs": Verb("jobs.summaries", "describe", "jobs.JobsRequest"),
    "stop": Verb("jobs.live", "stop", "jobs.StopRequest"),
    "attach": Verb("jobs.live", "attach", "jobs.AttachRequest"),
    "log": Verb("jobs.live", "follow", "jobs.LogRequest", following=True, heard=True),
    "remove": Verb("jobs.prune", "remove", "old_jobs.RemoveRequest"),
    "prune": Verb("jobs.prune", "prune", "old_jobs.PruneRequest"),
    "free": Verb("replication.free_copies", "free", "old_jobs.FreeRequest"),
    "unpulled": Verb("jobs.summaries", "list_unpulled", "old_jobs.UnpulledRequest"),
    "account": Verb("jobs.diff", "account", "old_jobs.AccountRequest"),
    "differences": Verb("jobs.diff", "differences", "old_jobs.DifferencesRequest", heard=True),
    "service": Verb("services", "look", "services.ServiceRequest"),
    "saved": Verb("services", "find_saved", "services.SavedRequest"),
    "fetch": Verb("services", "fetch", "services.FetchRequest"),
    "delta": Verb("replication.delta_request", "delta", "records.DeltaRequest", heard=True),
    "artifacts": Verb("replication.artifact_files", "describe", "records.ArtifactsRequest"),
    "take": Verb("replication.receive", "take", "records.TakeRequest"),
    "gpus": Verb("gpus.queue", "describe", "gpus.GpusRequest"),
    "overview": Verb("jobs.overview", "describe", "overview.OverviewRequest"),
    "secret": Verb("target_dir", "change_secret", "target.SecretRequest"),
}

#: What the system says when the server, and not this code, is at fault: a full disk or quota, a
#: folder that can't be written to, a limit of the account, a disk or network file system in trouble.
#: Another OSError (no such file, no such process) is a bug as any other exception is.
SERVERS_FAULT = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK),
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENAMETOOLONG, errno.ELOOP),
    }
)


def main() -> None:
    """Serve one request, or be a job's worker: `work <key> <id>`, `work-here <root> <id>`; or lead to a
    service on a node: `relay <key> <id>`, on the node itself `relay-here <key> <id>`.

    Where the request comes as a word, `ask <JSON in hexadecimal>`, standard input isn't read.
    """
    if sys.argv[1:2] in (["work"], ["work-here"]):
        sys.exit(_work(*sys.argv[1:]))
    if sys.argv[1:2] in (["relay"], ["relay-here"]):
        sys.exit(_relay(*sys.argv[1:]))
    files.on_wait = _send_notice
    try:
        is_word = sys.argv[1:2] == ["ask"]
        handle(json.loads(bytes.fromhex(sys.argv[2]) if is_word else sys.stdin.buffer.read()))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _work(verb: str, place: str, job_id: str) -> int:
    from remote.agent.launchers import allocation
    from remote.agent.worker import worker

    if verb == "work-here":
        return worker.work_here(place, job_id)
    if not allocation.is_ours():
        return worker.work(place, job_id)
    from remote.agent.worker import scheduled

    return scheduled.work(place, job_id)


def _relay(verb: str, key: str, job_id: str) -> str:
    """What stands in the way, for people; empty when the relay has ended."""
    from remote.agent import services

    try:
        if verb == "relay":
            services.relay(key, job_id)
        services.relay_here(key, job_id)
    except RemoteError as error:
        return error.message
    return ""


def handle(document: Dict[str, Any]) -> None:
    """Answer one request; errors become its answer."""
    try:
        result = serve(document.pop("verb", ""), document)
    except RemoteError as error:
        _send_error(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in SERVERS_FAULT:
            _send_error(_told_by_system(error))
        else:
            _send_bug()
    except Exception:
        _send_bug()
    else:
        file = result.file if isinstance(result, AnswerWithFile) else None
        send(result.answer if file else result, file)


def serve(verb: str, document: Dict[str, Any]) -> Any:
    """Do what `verb` says; its (last) answer comes back."""
    row = VERBS.get(verb)
    if row is None:
        raise ProtocolError(f"The agent knows no verb {verb!r}.")
    module = import_module(f"remote.agent.{row.module}")
    messages, _, name = row.request.partition(".")
    request_class = getattr(import_module(f"remote.job.messages.{messages}"), name)
    request = request_class.from_json(document, "request")
    handler = getattr(module, row.function)
    if row.heard:
        _end_with_reader()
    return handler(request, send=send) if row.following else handler(request)


def _end_with_reader() -> None:
    """Have this process end, as on SIGTERM, as soon as nobody can read what it writes any more.

    A pipe or socket whose other end is closed says so, though nothing is asked of it.
    """
    import select
    import signal
    import threading
    import time

    def watch() -> None:
        poll = select.poll()
        poll.register(1, 0)
        poll.poll()
        # One that comes just before a call that waits does not interrupt it.
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        sys.exit(1)

    # What is begun is left as whoever raises an exception leaves it.
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch, daemon=True).start()


def send(answer: Any, file: Optional[Path] = None) -> None:
    """Write one framed answer; the bytes of `file` follow."""
    write_frame(answer.to_json(), file)


def write_frame(document: Dict[str, Any], file: Optional[Path] = None) -> None:
    """Write a frame, its JSON, and the bytes of `file`, which is removed, whoever breaks off."""
    data = json.dumps(document).encode("ascii")
    out = sys.stdout.buffer
    with open(str(file or os.devnull), "rb") as blob:
        size = os.fstat(blob.fileno()).st_size if file else 0
        if file:
            file.unlink()
        out.write(b"%s %d %d\n" % (FRAME, len(data), size) + data)
        for block in iter(lambda: blob.read(1 << 20), b""):
            out.write(block)
    out.flush()


def _send_notice(words: str) -> None:
    write_frame({"notice": Notice(words=words).to_json()})


def _send_error(error: RemoteError) -> None:
    kind = type(error).__name__
    write_frame({"error": {"kind": kind, "message": error.message, "hint": error.hint}})


def _told_by_system(error: OSError) -> TargetError:
    where = f": {error.filename}" if error.filename else ""
    return TargetError(f"The server says: {error.strerror or error}{where}.")


def _send_bug() -> None:
    import traceback

    write_frame({"bug": traceback.format_exc()})
