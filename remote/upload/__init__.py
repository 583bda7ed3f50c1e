"""Uploads the records of a target's MLflow store to an MLflow server, three-way.

    state = known(base, address=address)           what to tell the agent
    …                                              the agent writes a delta (remote.tracking.delta)
    summary = merge(delta, address=address, …)     upload it
    send_artifacts(base, address=address, …)       once rsync has fetched summary.artifacts

The server's public REST API is all that is used: ids can't be kept (LIMITS). `base` is a file that
belongs to the upload alone, one for each target and server.
"""

from remote.upload.apply import known, merge, send_artifacts
from remote.upload.summary import LIMITS, ArtifactSummary, UploadSummary

__all__ = ["LIMITS", "ArtifactSummary", "UploadSummary", "known", "merge", "send_artifacts"]
