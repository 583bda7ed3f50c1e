"""`serving.json`: where a service that has begun can be found on its machine."""

from __future__ import annotations

from remote.job.fields import NAME, text
from remote.job.struct import Struct

#: How the folders of services begin: in /tmp, since a socket's path must fit into 104 bytes.
PRIVATE = "/tmp/remote-serve-"


class Serving(Struct):
    """The folder with its socket or its account of itself, and the page that it shows."""

    folder: str = text(NAME)
    path: str = text(NAME)
