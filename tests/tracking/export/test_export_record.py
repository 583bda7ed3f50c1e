"""What an export remembers, and that it may be lost or damaged."""

from __future__ import annotations

from pathlib import Path

from remote.tracking.export.export_record import ExportRecord, Sent


def test_it_remembers(tmp_path: Path) -> None:
    sent = Sent("there", "signature", 5, {"tag:a": [None, "1"]})
    record = ExportRecord(tmp_path / "sub/record")
    assert record.get("run", "r") == Sent() and not record.folder.exists()
    record.put("run", "r", sent)
    assert record.get("run", "r") == sent and record.get("model", "r") == Sent()


def test_another_server_begins_with_nothing(tmp_path: Path) -> None:
    record = ExportRecord(tmp_path / "record")
    assert record.begin_for("one")
    record.put("run", "r", Sent("there"))
    assert not record.begin_for("one") and record.get("run", "r").server_id == "there"
    assert record.begin_for("other") and record.get("run", "r") == Sent()


def test_what_is_damaged_counts_as_lost_and_ids_are_no_paths(tmp_path: Path) -> None:
    record = ExportRecord(tmp_path / "record")
    record.put("run", "r", Sent("there"))
    (record.folder / "run-r.json").write_bytes(b"\xff{")
    assert record.get("run", "r") == Sent()
    (tmp_path / "r.json").write_text('{"server_id": "x"}')
    (record.folder / "run-").mkdir()
    assert record.get("run", "/../../r") == Sent()
