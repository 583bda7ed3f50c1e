"""What goes on until Ctrl-C says once what is wrong, and waits longer each time."""

from __future__ import annotations

import pytest

from remote.errors import ConfigError, ConnectError, LoginError, RemoteError
from remote.operations.retries import FIRST_PAUSE, LONGEST_PAUSE, Retries


def test_a_cut_link_is_told_once_and_tried_more_and_more_seldom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    retries = Retries()
    for words in ("It broke.", *["Nothing listens."] * 9):
        retries.postpone(ConnectError(words, "a hint"))
    assert retries.is_waiting and retries.pause == LONGEST_PAUSE and not retries.is_due
    assert capsys.readouterr().err == "It broke.\nIt is tried again until it works.\n"
    retries.end("It is back.")
    retries.end("Never said.")
    assert capsys.readouterr().err == "It is back.\n"
    assert not retries.is_waiting and retries.pause == FIRST_PAUSE and not retries.is_due


def test_what_its_user_mends_is_told_whenever_it_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    retries = Retries()
    errors: list[RemoteError] = [ConfigError("one", "hint"), ConfigError("one", "hint")]
    for error in [*errors, ConfigError("two")]:
        retries.postpone(error)
    assert capsys.readouterr().err == "one\nhint\ntwo\n" and not retries.is_waiting
    with pytest.raises(LoginError):
        retries.postpone(LoginError("a key"))
