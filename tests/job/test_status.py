"""States of a job."""

from __future__ import annotations

from remote.job import status


def test_every_end_has_a_status_for_mlflow() -> None:
    assert set(status.RUN_STATUS) == status.ENDED
