"""What one ssh says of itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.connection.ssh_command import Log, ssh_argv
from remote.transport.ssh import Ssh


@pytest.fixture
def log() -> Iterator[Log]:
    with contextlib.closing(Log()) as log:
        yield log


def test_it_never_becomes_a_master_itself() -> None:
    argv = ssh_argv(Ssh("gpu"), "-tt", log="/the log")
    # ssh obeys the first setting of a name that it finds.
    assert argv.index("ControlMaster=no") < argv.index("ControlMaster=auto")
    assert argv[:2] == ["ssh", "-tt"] and argv[-2:] == ["--", "gpu"] and "/the log" in argv


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        ("debug2: Received exit status from master 3", True),
        ("debug1: client_input_channel_req: channel 0 rtype exit-signal reply 0", True),
        ("debug2: channel 0: rcvd eof", False),
        ("", False),
    ],
)
def test_an_exit_code_that_the_server_told_is_known(log: Log, line: str, tells: bool) -> None:
    Path(log.path).write_text(f"OpenSSH_9.2p1\n{line}\n")
    assert log.tells_exit is tells


def test_complaints_are_told_apart_from_reports(log: Log) -> None:
    Path(log.path).write_text(
        "OpenSSH_9.2p1 Debian\r\ndebug1: Reading configuration\n"
        "Authenticated to gpu\nmux_client_request_session: read from master failed\r\n\n"
    )
    assert log.words == "mux_client_request_session: read from master failed"
