"""Verifies an MLflow store in a SQLite file and the artifacts beside it, and mends on request.

    found = examine(place)                 what is wrong; changes nothing
    backup = mend(place, found)            a copy first, then one transaction

Nothing here deletes a run, a model, a trace or a file.
"""

from remote.tracking.check.examine import examine
from remote.tracking.check.finding import Finding
from remote.tracking.check.mend import mend
from remote.tracking.check.project_dir import Place

__all__ = ["Finding", "Place", "examine", "mend"]
