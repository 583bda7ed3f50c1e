"""What an export remembers, and that it may be lost or damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remote.tracking.export.export_record import SentEntity, SentMetrics, Written, open_record


def test_a_value_is_ours_from_before_it_is_sent(tmp_path: Path) -> None:
    with closing(open_record(tmp_path / "sub/record.db")) as record:
        record.announce("run", "r", {"tag:a": "1", "tag:b": "1"})
        record.settle("run", "r", {"tag:a": "1"})
        record.announce("run", "r", {"tag:a": "2"})
    with closing(open_record(tmp_path / "sub/record.db")) as record:
        assert record.written("run", "r") == {
            "tag:a": Written(frozenset({"1", "2"}), True),
            "tag:b": Written(frozenset({"1"}), False),
        }
        record.settle("run", "r", {"tag:a": "2"}, removed=["tag:b"])
        assert record.written("run", "r") == {"tag:a": Written(frozenset({"2"}), True)}


def test_what_was_placed_keeps_its_history_when_it_is_placed_again(tmp_path: Path) -> None:
    with closing(open_record(tmp_path / "record.db")) as record:
        record.place("run", "r", "there")
        assert record.entity("run", "r").metrics == SentMetrics()
        record.sent_metrics("r", SentMetrics(7, 5, under_way=False))
        record.finish("run", "r", "signature")
        record.place("run", "r", "")
        entity = record.entity("run", "r")
        assert entity.server_id == "" and entity.signature == "signature"
        assert entity.metrics == SentMetrics(7, 5, under_way=False)


def test_another_server_begins_with_nothing(tmp_path: Path) -> None:
    with closing(open_record(tmp_path / "record.db")) as record:
        assert record.begin_for("one")
        record.place("run", "r", "there")
        assert not record.begin_for("one") and record.server_id("run", "r") == "there"
        assert record.begin_for("other") and record.entity("run", "r") == SentEntity()


def test_a_record_of_another_format_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    open_record(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    open_record(path).close()
    assert Path(f"{path}.damaged").exists()
