"""What is true of a merge into a SQLite file is true of one into another database.

The scenarios are those of the other files of this folder, on other stores.
"""

from __future__ import annotations

from tests.tracking.merge.databases import world  # noqa: F401
from tests.tracking.merge.test_arrival import (
    logged,
    test_a_dataset_that_is_here_already_is_not_doubled,
    test_a_run_grows_at_each_pull,
    test_an_older_schema_arrives_by_the_common_columns,
    test_artifacts_that_never_arrived_are_named_again,
    test_datasets_and_logged_models_arrive,
    test_everything_of_a_run_arrives,
    test_nan_and_infinity_arrive,
)
from tests.tracking.merge.test_interrupted import (  # noqa: F401
    test_a_lost_base_undoes_nothing_of_ours,
)
from tests.tracking.merge.test_plan_experiments import (
    test_a_deleted_experiment_of_that_name_is_left_alone,
    test_an_experiment_renamed_here_keeps_getting_its_runs,
    test_new_runs_of_an_experiment_gone_here_bring_it_back,
)
from tests.tracking.merge.test_three_way import (
    run_id,
    test_a_change_on_both_sides_keeps_ours_and_is_told_once,
    test_a_clean_up_there_takes_nothing_here,
    test_a_run_deleted_for_good_here_stays_deleted,
    test_a_run_in_the_bin_here_stays_there,
    test_a_tag_removed_here_stays_removed,
    test_a_tag_removed_there_goes_unless_it_was_changed_here,
    test_metrics_logged_on_both_sides_are_all_kept,
    test_rebuilding_the_table_there_loses_nothing,
    test_status_and_end_time_are_never_mixed,
    test_the_latest_metric_is_the_one_of_the_greatest_step,
    test_what_changed_there_arrives,
    test_what_was_done_here_stays_done,
)
