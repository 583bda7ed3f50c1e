"""Traces in another database: the scenarios of a SQLite file."""

from __future__ import annotations

from tests.tracking.merge.databases import world  # noqa: F401
from tests.tracking.merge.test_traces import (
    test_a_hostile_trace_is_refused,
    test_a_trace_arrives_whole,
    test_a_trace_hangs_on_its_run,
    test_spans_that_come_later_replace_the_unfinished,
    test_tags_merge_three_way,
    traced,
    tracking,
)
