"""Whether a Python that others installed can run a job, told before the job starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Sequence

from remote.errors import JobError

#: What jobs are started by needs this one.
OLDEST = (3, 8)

OTHER = "Name another one in [tool.remote], or let the toolkit make the environment."
_TRY = "Try it on the server: {} --version"

#: Seconds that it may take to start, from a slow disk.
LIMIT = 60.0

#: Prints its version, and those of the named modules that it lacks.
_LOOK = """
import sys
print("%d.%d" % sys.version_info[:2])
from importlib.util import find_spec
print(" ".join(name for name in sys.argv[1:] if find_spec(name) is None))
"""


def require(python: Path, modules: Sequence[str], install: str) -> None:
    """Raises JobError where a Python doesn't run, is older than the toolkit's, or lacks one of
    `modules`; `install` is what stands before their names to add them."""
    # The toolkit's own start must not decide on how another Python starts.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [str(python), "-c", _LOOK, *modules],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=kept,
            timeout=LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JobError(f"{python} doesn't start: {error}", _TRY.format(python)) from None
    said = done.stdout.decode("utf-8", "replace").splitlines()
    version = said[0] if said else ""
    is_python = version.replace(".", "").isdigit()
    if is_python and tuple(map(int, version.split("."))) < OLDEST:
        raise JobError(f"{python} is Python {version}; jobs need 3.8 or newer.", OTHER)
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it prints nothing"]
        raise JobError(f"{python} doesn't run: {words[-1]}", _TRY.format(python))
    if not is_python:
        raise JobError(f"{python} is no Python: it printed no version.", _TRY.format(python))
    missing = said[1].split() if said[1:] else []
    if missing:
        raise JobError(
            f"{python} lacks {' and '.join(missing)}, which this job needs.",
            f"{install} {' '.join(missing)}",
        )
