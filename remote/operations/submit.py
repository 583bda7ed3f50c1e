"""Submit: what is asked of a job, handed to the agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping

from remote import git
from remote.errors import JobError
from remote.operations import uv
from remote.server import Server


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted. Without `environment_ready` its environment is made first."""

    id: str
    environment_ready: bool


def submit(server: Server, job: Mapping[str, Any], *, say: Callable[[str], None]) -> Submitted:
    """Start the job on the server; brings uv there first if need be."""
    dirty = (job.get("git") or {}).get("dirty")
    diff = git.uncommitted(server.project.root) if dirty else ""
    return hand_over(server, job, diff=diff, say=say)


def hand_over(
    server: Server, job: Mapping[str, Any], *, diff: str, say: Callable[[str], None]
) -> Submitted:
    """Start a job of which all is known, also the code's difference from its commit."""
    request = {"job": {**job, "target": str(server.target)}, "diff": diff}
    answer = server.call("submit", socket=server.socket, **request)
    if answer.get("need") == "uv":
        say("bringing uv to the server (once)")
        uv.bring(server, answer["platform"])
        answer = server.call("submit", socket=server.socket, **request)
    if "id" not in answer:
        raise JobError("uv was brought to the server, but does not run there.")
    return Submitted(answer["id"], answer["environment_ready"])
