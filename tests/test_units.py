"""Amounts as they are typed."""

from __future__ import annotations

import pytest

from remote import units
from remote.units import UnitError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("20m", 1200),
        ("8h", 28800),
        ("8H", 28800),
        ("1h30m", 5400),
        ("30d", 2592000),
        ("2w", 1209600),
        ("1d12h", 129600),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert units.seconds(text, "--timeout") == expected


@pytest.mark.parametrize("text", ["", "8 hours", "h", "-1h", "1.5h", "8h ", "1y", "0", "0s", "٣h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UnitError, match="--timeout"):
        units.seconds(text, "--timeout")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20G", 20480), ("20g", 20480), ("20GB", 20480), ("20GiB", 20480), ("500M", 500),
     ("1.5G", 1536), ("1T", 1048576), ("20 G", 20480)],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert units.mebibytes(text, "--gpus-memory") == expected


@pytest.mark.parametrize("text", ["", "20", "G", "-1G", "20K", "0G", "1e3G", "20Gb/s"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UnitError, match="--gpus-memory"):
        units.mebibytes(text, "--gpus-memory")


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("2", 2), ("08", 8)])
def test_counts(text: str, expected: int) -> None:
    assert units.count(text, "--gpus") == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1 ", "٣", "9" * 10])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(UnitError, match="--gpus takes a number, not"):
        units.count(text, "--gpus")
