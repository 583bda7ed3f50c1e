"""`serving.json`: where a service that has begun can be found on its machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from remote.job.fields import text
from remote.job.limits import NAME

#: How the folders of services begin: in /tmp, since a socket's path must fit into 104 bytes.
PRIVATE = "/tmp/remote-serve-"


@dataclass(frozen=True)
class Serving:
    """The folder with its socket or its account of itself, and the page that it shows."""

    folder: str = field(metadata=text(NAME))
    path: str = field(metadata=text(NAME))
