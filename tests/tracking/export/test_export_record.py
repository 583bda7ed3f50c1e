"""What an export remembers, and that it may be lost."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking.export.export_record import ExportRecord, Sent


def test_it_remembers(tmp_path: Path) -> None:
    sent = Sent("there", "signature", [7, 5], {"tag:a": [None, "1"]})
    with closing(ExportRecord(tmp_path / "sub/record.db")) as record:
        assert record.get("run", "r") == Sent()
        record.put("run", "r", sent)
    with closing(ExportRecord(tmp_path / "sub/record.db")) as record:
        assert record.get("run", "r") == sent and record.get("model", "r") == Sent()


def test_another_server_begins_with_nothing(tmp_path: Path) -> None:
    with closing(ExportRecord(tmp_path / "record.db")) as record:
        assert record.begin_for("one")
        record.put("run", "r", Sent("there"))
        assert not record.begin_for("one") and record.get("run", "r").server_id == "there"
        assert record.begin_for("other") and record.get("run", "r") == Sent()


def test_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "record.db").write_bytes(b"no database at all, but long enough to be looked at")
    with pytest.raises(StoreError, match="can't be used") as caught:
        ExportRecord(tmp_path / "record.db")
    assert "may be deleted" in caught.value.hint
