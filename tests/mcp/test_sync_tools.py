"""The tools for code, results and records, as far as no server is needed."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from remote import api
from remote.mcp import sync_tools


def test_numbers_of_records_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "run_id": "a",
        "start_time": pd.Timestamp("2026-01-02T03:04:05.678Z"),
        "end_time": pd.NaT,
        "metrics.lr": 1e-11,
        "metrics.loss": 0.1234567890123,
        "metrics.none": float("nan"),
        "params.no": None,
        "tags.mlflow.user": "ada",
    }
    monkeypatch.setattr(api, "records", lambda *_, **__: pd.DataFrame([row]))
    assert json.loads(json.dumps(sync_tools.records())) == {
        "runs": [
            {
                "run_id": "a",
                "start_time": "2026-01-02T03:04:05.678000+00:00",
                "metrics.lr": 1e-11,
                "metrics.loss": 0.1234567890123,
            }
        ]
    }
