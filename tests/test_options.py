"""A flag is a row of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from remote import options
from remote.options import UnitError, option, options_of


@dataclass(frozen=True)
class Options:
    name: str = option("--name", "what it is called")
    count: int = option("--count", "how many", 2, parse=lambda text, flag: int(text))
    follow: bool = option("--follow", "stay", False)
    tags: tuple[str, ...] = option("--tag", "a tag", collect=tuple)


def test_without_flags_there_are_the_defaults() -> None:
    assert Options() == Options(name="", count=2, follow=False, tags=())


def test_a_row_says_how_its_flag_is_typed() -> None:
    rows = options_of(Options)
    assert [(name, row.flag, row.help) for name, row in rows.items()] == [
        ("name", "--name", "what it is called"),
        ("count", "--count", "how many"),
        ("follow", "--follow", "stay"),
        ("tags", "--tag", "a tag"),
    ]
    assert [name for name, row in rows.items() if row.switch] == ["follow"]
    assert rows["count"].parse and rows["count"].parse("7", "--count") == 7
    assert rows["tags"].collect and rows["tags"].collect(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
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
    assert options.seconds(text, "--timeout") == expected


@pytest.mark.parametrize("text", ["0", "8", "30"])
def test_a_time_without_its_unit_is_never_guessed(text: str) -> None:
    with pytest.raises(UnitError, match=f"--older {text}: a time needs a unit") as caught:
        options.seconds(text, "--older")
    assert f"{text}m" in str(caught.value) and f"{text}d" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "8 hours", "h", "-1h", "1.5h", "8h ", "1y", "0s", "٣h", "9" * 5000 + "s"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UnitError, match="--timeout"):
        options.seconds(text, "--timeout")


@pytest.mark.parametrize("text", ["36501d", "99999999999w"])
def test_a_time_that_no_clock_knows(text: str) -> None:
    with pytest.raises(UnitError, match=f"--since takes a time of 100 years at most, not {text}"):
        options.seconds(text, "--since")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20G", 20480), ("20g", 20480), ("20GB", 20480), ("20GiB", 20480), ("500M", 500),
     ("1.5G", 1536), ("1T", 1048576), ("20 G", 20480)],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert options.mebibytes(text, "--gpus-memory") == expected


@pytest.mark.parametrize(
    "text", ["", "20", "G", "-1G", "20K", "0G", "1e3G", "20Gb/s", "9" * 400 + "T"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UnitError, match="--gpus-memory"):
        options.mebibytes(text, "--gpus-memory")


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("2", 2), ("08", 8)])
def test_counts(text: str, expected: int) -> None:
    assert options.count(text, "--gpus") == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1 ", "٣", "9" * 10])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(UnitError, match="--gpus takes a number, not"):
        options.count(text, "--gpus")
