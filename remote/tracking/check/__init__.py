"""Verifies an MLflow store in a SQLite file and the artifacts beside it, and mends its paths.

    findings = examine.examine(store)              what is wrong; changes nothing
    backup = examine.mend(store, findings)         a copy first; each kind in one transaction

Looked at is what a project meets that was moved, copied or badly stopped: the file itself, paths
that lead elsewhere, artifacts that are missing, files of a file store that keep `mlflow ui` from
starting. Nothing here deletes a record or a file. Paths are mended on servers, too: `stored_paths`
is part of the agent.
"""
