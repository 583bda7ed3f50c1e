"""Living with jobs: follow, list, stop."""

from __future__ import annotations

import time
from typing import Any, Callable

from remote.errors import ConnectError
from remote.server import Server

#: How long a broken connection is tried again before following gives up, in seconds.
RETRY_LIMIT = 600.0


def follow(
    server: Server,
    job: str,
    *,
    wait: bool,
    tail: int = 0,
    out: Callable[[str], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Hand the job's log to `out` as it grows; its status (`id`, `status`) comes back at the end.

    A connection that breaks is opened again, and the log goes on where it broke off.
    """
    seen: dict[str, Any] = {"job": job, "offset": 0, "tail": tail}

    def take(answer: dict[str, Any]) -> None:
        if answer.get("text"):
            out(answer["text"])
        if "offset" in answer:
            seen.update(offset=answer["offset"], job=answer["id"], tail=0)

    broken = 0.0
    while True:
        try:
            answer = server.call("log", wait=wait, on_answer=take, **seen)
            if "status" in answer:
                return answer
            raise ConnectError("The connection broke while the log was followed.")
        except ConnectError as error:
            broken = broken or time.monotonic()
            if seen["offset"] == 0 or time.monotonic() - broken > RETRY_LIMIT:
                raise
            say(f"{error.message} Trying again ...")
            time.sleep(3)


def listing(server: Server) -> dict[str, Any]:
    """All jobs of the target, the oldest first (`jobs`), and the server's clock (`now`)."""
    return server.call("jobs")


def stop(server: Server, job: str) -> dict[str, Any]:
    """End a job; its `id` and `status`, and whether it had ended `already`, come back."""
    return server.call("stop", job=job)
