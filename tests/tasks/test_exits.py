"""How tasks speak."""

from __future__ import annotations

import pytest
from invoke.exceptions import Exit

from remote.errors import ConfigError, RemoteError
from remote.tasks import exits


@pytest.mark.parametrize("kind", [RemoteError, ConfigError])
def test_an_error_for_the_user_becomes_an_exit(kind: type[RemoteError]) -> None:
    @exits.told
    def body() -> None:
        raise kind("What is wrong.", "What to do.")

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 2 and caught.value.message == "What is wrong.\nWhat to do."


def test_ctrl_c_becomes_130() -> None:
    @exits.told
    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 130


def test_a_bug_stays_a_bug() -> None:
    @exits.told
    def body() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        body()


def test_a_body_keeps_its_name_words_and_result() -> None:
    @exits.told
    def body(a: int, *, b: int) -> int:
        """What it does."""
        return a + b

    assert (body(1, b=2), body.__name__, body.__doc__) == (3, "body", "What it does.")


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    exits.say("日本")
    assert capsys.readouterr() == ("", "日本\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_000_000_000_000, "7000.0 GB"),
    ],
)
def test_bytes_are_told_in_the_best_unit(count: int, text: str) -> None:
    assert exits.size(count) == text


@pytest.mark.parametrize(("count", "text"), [(999_960, "1.0 MB"), (999_960_000, "1.0 GB")])
def test_what_rounds_up_takes_the_next_unit(count: int, text: str) -> None:
    assert exits.size(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_one_is_not_many(count: int, text: str) -> None:
    assert exits.plural(count, "file") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_time_is_told_in_words(seconds: float, text: str) -> None:
    assert exits.duration(seconds) == text


def test_a_clock_that_was_set_back_gives_no_nonsense() -> None:
    assert exits.duration(-3) == "0 s"
