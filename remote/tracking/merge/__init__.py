"""Merges the records of a target's MLflow store into the local one, three-way.

    state = pull_state(base, store=store)          what to tell the agent
    …                                              the agent writes a delta (remote.tracking.delta)
    summary = merge(delta, store=store, …)         apply it
    mark_fetched(base, summary.artifacts)          once rsync has fetched them

`base` is a file that belongs to the merge alone, one for each target.
"""

from remote.job.messages.records import ArtifactFolder
from remote.tracking.merge.apply import mark_fetched, merge, unfetched
from remote.tracking.merge.base import pull_state
from remote.tracking.merge.merge_session import Conflict, MergeSummary, total

__all__ = [
    "ArtifactFolder",
    "Conflict",
    "MergeSummary",
    "mark_fetched",
    "merge",
    "pull_state",
    "total",
    "unfetched",
]
