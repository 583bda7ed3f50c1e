"""The private folder, in /tmp, of a job that is a service."""

from __future__ import annotations

import re
import shutil

from remote.job.fields import load
from remote.job.paths import JobPaths
from remote.job.serving import PRIVATE, Serving


def clear(paths: JobPaths) -> None:
    """Remove it after the service's end; what else its file names is left alone."""
    serving = load(Serving, paths.serving)
    if serving and re.match(PRIVATE + r"\w+\Z", serving.folder):
        shutil.rmtree(serving.folder, ignore_errors=True)
        paths.serving.unlink()
