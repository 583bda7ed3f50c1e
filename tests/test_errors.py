"""Errors for the user: what is wrong, and what to do next."""

from __future__ import annotations

import pytest

from remote import errors
from remote.errors import ConfigError, RemoteError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


def test_what_to_do_next_is_the_second_line() -> None:
    assert (
        str(ConfigError("TARGET_DIR is not set.", "Set it.")) == "TARGET_DIR is not set.\nSet it."
    )


def test_without_a_next_step_there_is_one_line() -> None:
    assert str(ConfigError("TARGET_DIR is not set.")) == "TARGET_DIR is not set."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_is_caught_as_an_error_for_the_user(kind: type[RemoteError]) -> None:
    """The agent's errors come over the wire by name, with these two texts (remote.rpc.client)."""
    with pytest.raises(RemoteError) as caught:
        raise kind("message", "hint")
    assert (caught.value.message, caught.value.hint) == ("message", "hint")
