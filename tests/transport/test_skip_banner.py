"""What rsync reads begins where its remote command says so."""

from __future__ import annotations

import subprocess
import sys

from remote.transport import skip_banner
from remote.transport.rsync_args import MARK
from tests.waiting import until


def through(script: str, sent: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, skip_banner.__file__, "sh", "-c", script]
    return subprocess.run(argv, input=sent, capture_output=True)


def test_what_a_shell_prints_first_is_dropped() -> None:
    done = through(f"echo Welcome; printf %s wel; echo {MARK}; echo come; exit 3")
    assert (done.stdout, done.returncode) == (b"come\n", 3)


def test_a_mark_in_pieces_is_still_one() -> None:
    half = len(MARK) // 2
    pieces = f"printf %s '{MARK[:half]}'; sleep 0.1; printf '%s\\nafter' '{MARK[half:]}'"
    assert through(pieces).stdout == b"after"


def test_without_the_mark_nothing_is_passed_on() -> None:
    done = through("echo bash: rsync: command not found; exit 127")
    assert (done.stdout, done.returncode) == (b"", 127)


def test_both_files_mean_the_same_mark() -> None:
    assert f"{MARK}\n".encode() == skip_banner.MARK


def test_bytes_pass_both_ways_unchanged() -> None:
    every = bytes(range(256)) * 2000
    assert through(f"echo {MARK}; cat", every).stdout == every


def test_the_reader_sees_the_end_before_the_command_has_ended() -> None:
    """rsync waits for the end of its input, and the other rsync for it."""
    script = f"echo {MARK}; echo all; exec >&-; read word; exit 5"
    argv = [sys.executable, skip_banner.__file__, "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read() == b"all\n"
        assert process.poll() is None
        process.communicate(b"go on\n")
        assert until(lambda: process.poll() is not None) and process.returncode == 5
