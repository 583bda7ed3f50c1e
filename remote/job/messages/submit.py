"""Submitting a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from remote.job.fields import flag, nested, optional, text
from remote.job.limits import DIFF, NAME, WORD, job_id
from remote.job.messages.base import Request, target_key
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec


@dataclass(frozen=True)
class SubmitAnswer:
    """A job that was accepted, or what has to be brought first: `need` is `uv` or `proxy`."""

    id: str = field(default="", metadata=job_id())
    environment_ready: bool = field(default=False, metadata=flag())
    need: str = field(default="", metadata=text(16, WORD))
    platform: Optional[Machine] = field(default=None, metadata=optional(nested(Machine)))
    """What a uv that is brought must have been built for."""


@dataclass(frozen=True)
class SubmitRequest(Request[SubmitAnswer]):
    """Start a job. A service that goes on already is answered in the place of a second one."""

    verb = "submit"
    answer = SubmitAnswer

    key: str = field(metadata=target_key())
    job: JobSpec = field(metadata=nested(JobSpec))
    launcher: str = field(default="", metadata=text(64, WORD))
    """Its row in remote.agent.launchers; empty is the usual one."""
    launcher_setting: str = field(default="", metadata=text(NAME))
    """What the user's settings say for it: the name of the tmux server that is to hold the job."""
    diff: str = field(default="", metadata=text(DIFF))
    """What the pushed code has beyond its git commit."""
    offline: bool = field(default=False, metadata=flag())
    """Whether an environment is to be made through the laptop; `need` asks for that."""
    proxy: str = field(default="", metadata=text(NAME))
    """Where the laptop is reached for that: an address with a password in it."""
