"""The agent's entrance: one JSON request on standard input, one framed answer on standard output.

An answer is `FRAME <length of JSON> <length of blob>\\n<JSON><blob>`. Whatever a login shell prints
before the frame is the client's to skip. A verb that follows something answers more than once.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from remote.errors import RemoteError

FRAME = b"==remote-agent-answer=="


def main() -> None:
    """Serve one request, or be a job's worker: `work <key> <id>`, `work-here <root> <id>`."""
    if sys.argv[1:2] in (["work"], ["work-here"]):
        from remote.agent.worker import worker

        serve = worker.work if sys.argv[1] == "work" else worker.work_here
        sys.exit(serve(*sys.argv[2:]))
    try:
        answer(handle(json.loads(sys.stdin.buffer.read())))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def handle(request: Dict[str, Any]) -> Dict[str, Any]:
    """The answer to one request; errors become part of it."""
    try:
        return serve(request.pop("verb"), request)
    except RemoteError as error:
        kind = type(error).__name__
        return {"error": {"kind": kind, "message": error.message, "hint": error.hint}}
    except BrokenPipeError:
        raise
    except OSError as error:
        return {"error": {"kind": "TargetError", "message": _os_error(error), "hint": ""}}
    except Exception:
        import traceback

        return {"bug": traceback.format_exc()}


def _os_error(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"The server says: {error.strerror or error}{where}."


def answer(value: Dict[str, Any], blob: Optional[Path] = None) -> None:
    """Write one framed answer; `blob` is a file whose bytes follow."""
    blob = Path(value.pop("blob")) if "blob" in value else blob
    data = json.dumps(value).encode("ascii")
    size = blob.stat().st_size if blob else 0
    out = sys.stdout.buffer
    out.write(b"%s %d %d\n" % (FRAME, len(data), size) + data)
    if blob:
        with open(str(blob), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                out.write(block)
        blob.unlink()
    out.flush()


#: Verb -> (module below remote.agent, function). A module is imported when it is needed.
VERBS: Dict[str, Tuple[str, str]] = {
    "prepare": ("target_dir", "prepare"),
    "submit": ("jobs.submit", "submit"),
    "jobs": ("jobs.lifecycle", "describe"),
    "stop": ("jobs.lifecycle", "stop"),
    "log": ("jobs.log", "follow"),
    "service": ("services.serving", "look"),
    "saved": ("services.saved_files", "find"),
    "fetch": ("services.saved_files", "fetch"),
    "delta": ("tracking.delta_request", "delta"),
    "take": ("tracking.receive", "take"),
    "remove": ("jobs.prune", "remove"),
    "prune": ("jobs.prune", "prune"),
    "account": ("jobs.diff", "account"),
    "differences": ("jobs.diff", "differences"),
    "secret": ("secrets", "change"),
    "gpus": ("gpus.listing", "describe"),
    "examine": ("server_facts", "examine"),
}

#: Verbs that answer more than once.
FOLLOWING = ("log",)


def serve(verb: str, request: Dict[str, Any]) -> Dict[str, Any]:
    """Do what `verb` says; its (last) answer comes back."""
    module, function = VERBS[verb]
    body = getattr(import_module(f"remote.agent.{module}"), function)
    more = {"send": answer} if verb in FOLLOWING else {}
    found: Dict[str, Any] = body(**more, **request)
    return found
