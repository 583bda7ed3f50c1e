"""Verbs on services, and on what was saved in JupyterLab."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from remote.job.fields import integer, list_of, mapping_of, nested, optional, text
from remote.job.limits import HEX, MANY, NAME, WORD, job_id
from remote.job.messages.base import Request, target_key
from remote.job.status import JobStatus

#: A path of a page, as a URL has it.
_PAGE = re.compile(r"/[A-Za-z0-9_.~%/-]*")


@dataclass(frozen=True)
class ServiceAddress:
    """Where a service answers there: a `port` of loopback with a `token`, or a `socket`."""

    path: str = field(metadata=text(NAME, _PAGE))
    """The page that a browser is to open."""
    port: int = field(default=0, metadata=integer(0, 65535))
    token: str = field(default="", metadata=text(256, WORD))
    socket: str = field(default="", metadata=text(NAME))


@dataclass(frozen=True)
class ServiceAnswer:
    """A service and how it was asked for. Without an `id` none goes on."""

    id: str = field(default="", metadata=job_id())
    status: Optional[JobStatus] = field(default=None, metadata=optional(nested(JobStatus)))
    folder: Optional[str] = field(default=None, metadata=optional(text(NAME)))
    logdir: Optional[str] = field(default=None, metadata=optional(text(NAME)))
    extras: Tuple[str, ...] = field(default=(), metadata=list_of(text(NAME), MANY))
    gpus: Optional[int] = field(default=None, metadata=optional(integer(0, 1024)))
    address: Optional[ServiceAddress] = field(
        default=None, metadata=optional(nested(ServiceAddress))
    )
    """None as long as it doesn't answer."""


@dataclass(frozen=True)
class ServiceRequest(Request[ServiceAnswer]):
    """Tell of a service, by its name while it goes on, or by its job."""

    verb = "service"
    answer = ServiceAnswer

    key: str = field(metadata=target_key())
    service: str = field(default="", metadata=text(32, WORD))
    job: str = field(default="", metadata=text(NAME))


@dataclass(frozen=True)
class SavedAnswer:
    """The SHA-256 of each file that was saved and is there as it was, by its path below the root."""

    files: Mapping[str, str] = field(metadata=mapping_of(text(64, HEX), 100_000, key=text(NAME)))


@dataclass(frozen=True)
class SavedRequest(Request[SavedAnswer]):
    """Tell what was saved in JupyterLab among the pushed files."""

    verb = "saved"
    answer = SavedAnswer

    key: str = field(metadata=target_key())


@dataclass(frozen=True)
class FetchAnswer:
    """The times of change of the files in the zip file that follows, in whole seconds since 1970."""

    times: Mapping[str, int] = field(
        metadata=mapping_of(integer(0, 1 << 40), 100_000, key=text(NAME))
    )


@dataclass(frozen=True)
class FetchRequest(Request[FetchAnswer]):
    """Send saved files."""

    verb = "fetch"
    answer = FetchAnswer

    key: str = field(metadata=target_key())
    names: Tuple[str, ...] = field(metadata=list_of(text(NAME), 100_000))
