"""Submitting a job."""

from __future__ import annotations

from typing import Optional

from remote.job.fields import DIFF, NAME, WORD, flag, job_id, nested, optional, text
from remote.job.messages.base import TargetRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.struct import Struct


class SubmitAnswer(Struct):
    """A job that was accepted, or what has to be brought first: `need` is `uv` or `proxy`."""

    id: str = job_id(default="")
    environment_ready: bool = flag(default=False)
    need: str = text(16, WORD, default="")
    platform: Optional[Machine] = optional(nested(Machine), default=None)
    """What a uv that is brought must have been built for."""


class SubmitRequest(TargetRequest[SubmitAnswer]):
    """Start a job. A service that goes on already is answered in the place of a second one."""

    verb = "submit"
    answer = SubmitAnswer

    job: JobSpec = nested(JobSpec)
    launcher: str = text(64, WORD, default="")
    """Its row in remote.agent.launchers; empty is the usual one."""
    launcher_setting: str = text(NAME, default="")
    """What the user's settings say for it: the name of the tmux server that is to hold the job."""
    diff: str = text(DIFF, default="")
    """What the pushed code has beyond its git commit."""
    offline: bool = flag(default=False)
    """Whether an environment is to be made through the laptop; `need` asks for that."""
    proxy: str = text(NAME, default="")
    """Where the laptop is reached for that: an address with a password in it."""
