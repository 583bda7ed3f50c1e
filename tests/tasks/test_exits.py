"""How tasks end."""

from __future__ import annotations

import pytest
from invoke.exceptions import Exit

from remote.errors import ConfigError, RemoteError
from remote.tasks import exits


@pytest.mark.parametrize("kind", [RemoteError, ConfigError])
def test_an_error_for_the_user_becomes_an_exit(kind: type[RemoteError]) -> None:
    @exits.exit_on_error
    def body() -> None:
        raise kind("What is wrong.", "What to do.")

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 2 and caught.value.message == "What is wrong.\nWhat to do."


def test_ctrl_c_becomes_130() -> None:
    @exits.exit_on_error
    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 130


def test_a_bug_stays_a_bug() -> None:
    @exits.exit_on_error
    def body() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        body()


def test_a_body_keeps_its_name_words_and_result() -> None:
    @exits.exit_on_error
    def body(a: int, *, b: int) -> int:
        """What it does."""
        return a + b

    assert (body(1, b=2), body.__name__, body.__doc__) == (3, "body", "What it does.")


def test_a_servers_words_in_an_error_do_not_steer_the_terminal() -> None:
    @exits.exit_on_error
    def fail() -> None:
        raise RemoteError("It says: \x1b[2J\r", "Look at \u202eit.")

    @exits.exit_on_error
    def end() -> None:
        raise Exit("job failed (\x1b]0;owned\x07)", code=7)

    with pytest.raises(Exit) as caught:
        fail()
    assert caught.value.message == "It says: \\x1b[2J\\r\nLook at \\u202eit."
    with pytest.raises(Exit) as caught:
        end()
    assert caught.value.message == "job failed (\\x1b]0;owned\\x07)" and caught.value.code == 7


def test_an_exit_without_words_keeps_its_code() -> None:
    @exits.exit_on_error
    def body() -> None:
        raise Exit(code=3)

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 3 and not caught.value.message
