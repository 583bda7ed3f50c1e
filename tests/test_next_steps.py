"""The commands that messages name work as typed."""

from __future__ import annotations

import pytest

from remote import next_steps
from remote.output import say
from remote.transport.ssh import Ssh


def test_another_target_is_named_in_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    next_steps.name_target("ada@gpu:my proj")
    say(
        "log: inv remote-logs JOB --follow", "then: make sync-pull && mlflow ui", "inv mlflow-check"
    )
    assert capsys.readouterr().err.splitlines() == [
        "log: inv remote-logs --target 'ada@gpu:my proj' JOB --follow",
        "then: make sync-pull TARGET_DIR='ada@gpu:my proj' && mlflow ui",
        "inv mlflow-check",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "inv remote-ps --target other",
        "make sync-push TARGET_DIR=user@host:/proj",
        "inv --list",
        "invent remote-ps",
    ],
)
def test_what_names_its_target_stays_as_it_is(text: str) -> None:
    next_steps.name_target("b:p")
    assert next_steps.complete(text) == text


def test_the_usual_target_is_not_named() -> None:
    next_steps.name_target("")
    assert next_steps.complete("inv remote-logs last") == "inv remote-logs last"


@pytest.mark.parametrize(
    "said", ["Permission denied (publickey)", "Host key verification failed", "x"]
)
def test_an_own_ssh_configuration_is_in_what_is_to_be_typed(said: str) -> None:
    assert "ssh -F '/my conf' ada@gpu" in str(Ssh("ada@gpu", "/my conf").failure(said))
    assert "ssh ada@gpu" in str(Ssh("ada@gpu").failure(said))
