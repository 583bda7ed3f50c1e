"""Verifies an MLflow store in a SQLite file and the artifacts beside it, and mends its paths.

    findings = examine(store)              what is wrong; changes nothing
    backup = mend(store, findings)         a copy first, then one transaction

Looked at is what a project meets that was moved, copied or badly stopped: the file itself, paths
that lead elsewhere, artifacts that are missing, files of a file store that keep `mlflow ui` from
starting. Nothing here deletes a record or a file.
"""

from remote.tracking.check.examine import Finding, examine, mend

__all__ = ["Finding", "examine", "mend"]
