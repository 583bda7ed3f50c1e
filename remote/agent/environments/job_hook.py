"""The line by which each Python of an environment knows that it belongs to a job."""

from __future__ import annotations

from pathlib import Path

from remote.files import write_atomic

NAME = "remote_job.pth"

#: Python runs this line of an environment at each start: in a job, `remote/runtime/site` is found
#: even where PYTHONPATH is set to something else, or isn't heeded (`python -I`).
LINE = b"""\
import os, sys; place = os.environ.get("REMOTE_SITE"); \
sys.path.insert(0, place) if place and place not in sys.path else None
"""


def install(environment: Path) -> None:
    """Add the line, or renew that of an earlier version; raises OSError."""
    for packages in environment.glob("lib/python*/site-packages"):
        file = packages / NAME
        # Other jobs may be starting Python there.
        if not file.is_file() or file.read_bytes() != LINE:
            write_atomic(file, LINE, mode=0o644)
