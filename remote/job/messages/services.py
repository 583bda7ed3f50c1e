"""Verbs on services, and on what was saved in JupyterLab."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import HEX, NAME, WORD
from remote.job.messages.base import TargetRequest
from remote.job.spec import Job
from remote.job.status import PRIVATE
from remote.job.struct import Struct

#: A path of a page, as a URL has it.
_PAGE = re.compile(r"/[A-Za-z0-9_.~%/-]*")

#: ssh, which is told to lead a port there, expands `${VARIABLE}` and `%` in paths (ssh_config(5)).
_SOCKET = re.compile(re.escape(PRIVATE) + r"[A-Za-z0-9_]+/socket")


class ServiceAddress(Struct):
    """Where a service answers there: a `port` of loopback with a `token`, or a `socket`; of the machine
    that is asked, or of the node of a job."""

    path: str = fields.text(NAME, _PAGE)
    """The page that a browser is to open."""
    port: int = fields.integer(0, 65535, default=0)
    token: str = fields.text(256, WORD, default="")
    socket: str = fields.text(104, _SOCKET, default="")
    job: str = fields.job_id(default="")
    """The job to whose node a relay leads."""


class ServiceAnswer(Struct):
    """A service, as the job that it is; without a `job` none goes on."""

    job: Optional[Job] = fields.optional(fields.nested(Job), default=None)
    address: Optional[ServiceAddress] = fields.optional(fields.nested(ServiceAddress), default=None)
    """None as long as it doesn't answer."""


class ServiceRequest(TargetRequest[ServiceAnswer], verb="service", answer=ServiceAnswer):
    """Tell of a service, by its name while it goes on, or by its job."""

    service: str = fields.text(32, WORD, default="")
    job: str = fields.text(NAME, default="")


class SavedAnswer(Struct):
    """The SHA-256 of each file that was saved and is there as it was, by its path below the root."""

    files: Mapping[str, str] = fields.mapping_of(fields.text(64, HEX), 100_000, key=fields.path())


class SavedRequest(TargetRequest[SavedAnswer], verb="saved", answer=SavedAnswer):
    """Tell what was saved in JupyterLab among the pushed files."""


class FetchAnswer(Struct):
    """The times of change of the files in the zip file that follows, in whole seconds since 1970."""

    times: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 40), 100_000, key=fields.path()
    )


class FetchRequest(TargetRequest[FetchAnswer], verb="fetch", answer=FetchAnswer):
    """Send saved files."""

    names: Tuple[str, ...] = fields.list_of(fields.text(NAME), 100_000)
