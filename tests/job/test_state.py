"""States of a job."""

from __future__ import annotations

from remote.job import state


def test_every_end_has_a_status_for_mlflow() -> None:
    assert set(state.RUN_STATUS) == state.ENDED
