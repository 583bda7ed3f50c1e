"""Living with jobs: list, follow, wait, stop, remove."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from remote.errors import ConnectError
from remote.files import read_json
from remote.session import Server

#: How long a broken connection is tried again before following gives up, in seconds.
RETRY_LIMIT = 600.0


def follow(
    server: Server,
    job: str,
    *,
    wait: bool,
    tail: int = 0,
    since: int = 0,
    silent: bool = False,
    out: Callable[[str], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Hand the job's log to `out` as it grows; its status (`id`, `status`) comes back at the end.

    `tail` lines or `since` seconds are shown of what is there, with `silent` nothing. A connection
    that breaks is opened again, and the log goes on where it broke off.
    """
    seen: dict[str, Any] = {"job": job, "offset": 0, "tail": tail, "since": since}
    answered = False

    def take(answer: dict[str, Any]) -> None:
        nonlocal answered
        answered = True
        if answer.get("text"):
            out(answer["text"])
        if "offset" in answer:
            seen.update(offset=answer["offset"], job=answer["id"], tail=0, since=0)

    broken = 0.0
    while True:
        try:
            answer = server.call("log", wait=wait, silent=silent, on_answer=take, **seen)
            if "status" in answer:
                return answer
            raise ConnectError("The connection broke while the log was followed.")
        except ConnectError as error:
            broken = broken or time.monotonic()
            if not answered or time.monotonic() - broken > RETRY_LIMIT:
                raise
            say(f"{error.message} Trying again ...")
            time.sleep(3)


def listing(server: Server, *, newest: int = 0, jobs: Sequence[str] = ()) -> dict[str, Any]:
    """Jobs of the target, the oldest first (`jobs`), and the server's clock (`now`).

    `newest` above 0 leaves out ended jobs that are older; `jobs` names those that are wanted.
    """
    return server.call("jobs", newest=newest, jobs=list(jobs))


def stop(server: Server, job: str) -> dict[str, Any]:
    """End a job; its `id` and `status`, and whether it had ended `already`, come back."""
    return server.call("stop", job=job)


def remove(server: Server, jobs: Sequence[str], *, force: bool) -> dict[str, Any]:
    """Remove jobs that were pulled (with `force` any): `removed` ids, `bytes` that were freed."""
    return server.call("remove", jobs=list(jobs), pulled=_pulled(server), force=force)


def prune(server: Server, older: int, *, force: bool, dry_run: bool) -> dict[str, Any]:
    """Remove what was of no use for `older` seconds; see `remote.agent.jobs.prune.prune`."""
    return server.call("prune", older=older, pulled=_pulled(server), force=force, dry_run=dry_run)


def _pulled(server: Server) -> list[str]:
    found: list[str] = read_json(server.pulled) or []
    return found


def gpus(server: Server) -> dict[str, Any]:
    """The server's GPUs, who holds them, and who waits; see `remote.agent.gpus.listing.describe`."""
    return server.call("gpus", leases=server.project.settings.get("REMOTE_LEASES", ""))


def secret(server: Server, name: str = "", value: str | None = None) -> list[str]:
    """Set a secret of the target (None: forget it); without a name nothing changes.

    The names of all that are set come back.
    """
    names: list[str] = server.call("secret", name=name, value=value)["names"]
    return names
