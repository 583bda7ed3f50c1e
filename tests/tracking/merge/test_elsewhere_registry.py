"""Registered models in another database: the scenarios of a SQLite file."""

from __future__ import annotations

from tests.tracking.merge.databases import world  # noqa: F401
from tests.tracking.merge.test_model_versions import (
    run_id,
    test_a_clash_keeps_ours_whole_and_is_told,
    test_a_version_deleted_here_stays_deleted,
    test_an_alias_moved_here_stays,
    test_it_arrives_with_its_files_where_the_run_is,
)
