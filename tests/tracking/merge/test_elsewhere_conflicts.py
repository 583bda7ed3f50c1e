"""Conflicts in another database: the scenarios of a SQLite file."""

from __future__ import annotations

from tests.tracking.merge.databases import world  # noqa: F401
from tests.tracking.merge.test_conflicts import (
    run_id,
    test_a_name_that_another_experiment_has_cannot_be_taken,
    test_a_row_removed_there_can_be_removed_here,
    test_columns_that_belong_together_are_taken_together,
    test_ours_can_be_kept_for_good,
    test_theirs_can_be_taken,
)
