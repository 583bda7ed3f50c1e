"""The paths that records hold, in the forms in which MLflow writes them. Pure.

`/p`, `file:///p` (percent-encoded), and `mlflow-artifacts:/p`, which only a server can read: it
keeps `p` in the folder mlartifacts that it was started beside. What names no folder of this machine
(`s3://…`, `models:/…`, a relative path) is nobody's business here.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Iterator, Optional
from urllib.parse import quote, unquote, urlsplit

RUNS = "mlruns"
SERVED = "mlartifacts"


@dataclass(frozen=True)
class Location:
    """Where a record says its files are: `path` is absolute; of a `served` one, below SERVED."""

    path: str
    is_url: bool = False
    served: bool = False

    def written(self, path: str) -> str:
        """Another path in this one's form; a plain one instead of one that a server reads."""
        return f"file://{quote(path)}" if self.is_url else path


def parse(text: object) -> Optional[Location]:
    """None for what names no folder of this machine."""
    if not isinstance(text, str):
        return None
    if text.startswith("/"):
        return Location(_normal(text))
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
        return Location(_normal(unquote(url.path)), is_url=True)
    if url.scheme == "mlflow-artifacts" and not url.netloc:
        return Location(_normal("/" + unquote(url.path)), served=True)
    return None


def splits(path: str) -> Iterator[tuple[str, str]]:
    """(the project it may have lain in, the rest from mlruns on), the longest project first."""
    parts = path.split("/")
    for index in range(len(parts) - 1, 0, -1):
        if parts[index] in (RUNS, SERVED):
            yield "/".join(parts[:index]) or "/", "/".join(parts[index:])


def is_below(path: str, folder: str) -> bool:
    """Also for the folder itself."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
