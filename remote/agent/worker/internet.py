"""Reach the internet through the laptop that submitted a job, where it offered that."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator

from remote.job.paths import JobPaths

#: Both spellings are in use, and either may be set for the account.
NAMES = tuple(
    name
    for scheme in ("HTTP", "HTTPS", "ALL")
    for name in (f"{scheme}_PROXY", f"{scheme.lower()}_proxy")
)


@contextlib.contextmanager
def proxied(paths: JobPaths) -> Iterator[None]:
    """Set the variables that name a proxy. Its address holds a password, and goes afterwards."""
    if not paths.proxy.is_file():
        yield
        return
    before = {name: os.environ.get(name) for name in NAMES}
    os.environ.update(dict.fromkeys(NAMES, paths.proxy.read_text()))
    try:
        yield
    finally:
        paths.proxy.unlink()
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
