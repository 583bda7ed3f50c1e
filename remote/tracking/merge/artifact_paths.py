"""Where artifacts lie on the target. Pure.

A record says it in the server's own terms, in one of three forms: `/p`, `file:///p`
(percent-encoded), `mlflow-artifacts:/p` (an `mlflow ui` started in the target keeps those below
`mlartifacts`). Only a folder below the target's own mlruns, or a file store, is taken: the path of
a record is what a local UI serves files from, and the server that wrote it may be hostile. No local
path is ever made from these strings, only from ids that `is_safe_id` holds for.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import Optional, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SNAPSHOT = re.compile(r"\.remote/jobs/[^/]+/code/(?=(?:mlruns|mlartifacts)/)")
PLACES = ("mlruns", "mlartifacts")
"""The folders of a target that MLflow puts artifacts into."""
_ELSEWHERE = ("s3", "gs", "wasbs", "abfss", "r2", "b2", "dbfs", "hdfs", "viewfs")
"""Stores of artifacts that are the same from every machine: no path into this one."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ODD = re.compile(r"[\x00-\x1f\x7f?#;\\]")
_MODEL = re.compile(r"models:/[^/@]+(/[^/]+|@[^/]+)?\Z")


def is_safe_id(identity: object) -> bool:
    """True for a run's or model's id that can be part of a path."""
    return isinstance(identity, str) and _ID.match(identity) is not None


def artifacts_below(
    location: object, identity: str, roots: Sequence[str], places: Sequence[str] = PLACES
) -> Optional[str]:
    """The folder relative to the target's root (`mlruns/3/<id>/artifacts`), or None: refuse it.

    `roots` are absolute folders of the server that are the target, under any name.
    """
    relative = path_below(location, roots, places)
    parts = relative.split("/") if relative else []
    return relative if len(parts) >= 3 and parts[-2:] == [identity, "artifacts"] else None


def lies_elsewhere(location: object) -> bool:
    """True for artifacts that no pull fetches, since they can be had where they are."""
    url = _url(location)
    return url is not None and url.scheme in _ELSEWHERE and bool(url.netloc or url.path)


def path_below(
    location: object, roots: Sequence[str], places: Sequence[str] = PLACES
) -> Optional[str]:
    """The path relative to the target's root of something in one of `places`, or None."""
    url = _url(location)
    if url is None:
        return None
    if url.scheme == "mlflow-artifacts" and not url.netloc:
        relative = "mlartifacts" + posixpath.normpath("/" + unquote(url.path).lstrip("/"))
    else:
        is_file = url.scheme == "file" and url.netloc in ("", "localhost")
        relative = _below(unquote(url.path) if is_file else str(location), roots)
    is_inside = any(relative.startswith(f"{place}/") for place in places)
    return relative if is_inside and is_plain(relative) else None


def is_plain(relative: str) -> bool:
    """True for a path that means the same to whoever reads it, as a path or as a part of a URL.

    MLflow decodes a local path once more than it was encoded, so no escape may be left in it; what
    begins a query or is another separator elsewhere isn't part of a name, nor are dots in disguise.
    """
    parts = re.split("[/@]", unicodedata.normalize("NFKC", relative))
    is_same = unquote(relative) == relative and not _ODD.search(relative)
    return is_same and not {".", ".."} & set(parts)


def model_version(location: object) -> Optional[str]:
    """`models:/<name>/<version>` or `models:/<id>` again, where it is one and leads nowhere else."""
    is_model = isinstance(location, str) and _MODEL.match(location) is not None
    return str(location) if is_model and is_plain(str(location)[len("models:/") :]) else None


def web_link(location: object) -> Optional[str]:
    """A page that a browser may be led to: no script, and no file of this machine."""
    url = _url(location)
    is_page = url is not None and url.scheme in ("http", "https") and bool(url.netloc)
    return str(location) if is_page else None


def _url(location: object) -> Optional[SplitResult]:
    """None for what is neither a path nor a URL, such as `s3://[`."""
    if not isinstance(location, str) or _CONTROL.search(location):
        return None
    try:
        return urlsplit(location)
    except ValueError:
        return None


def _below(path: str, roots: Sequence[str]) -> str:
    """The path relative to one of the roots, or "".

    A job's snapshot has the target's own mlruns linked in: its name for it means the same.
    """
    normal = "/" + posixpath.normpath(path).lstrip("/")
    for root in roots if path.startswith("/") else ():
        start = root.rstrip("/") + "/"
        if normal.startswith(start):
            return _SNAPSHOT.sub("", normal[len(start) :], count=1)
    return ""
