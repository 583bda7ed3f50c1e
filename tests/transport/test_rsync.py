"""What rsync's exits mean, told by the real rsync over an ssh that fails as real ones do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote.errors import ConfigError, ConnectError, RemoteError, TransferError
from remote.target import Target
from remote.transport import rsync, rsync_dialect
from remote.transport.process import Result
from remote.transport.rsync import Absent, FullDisk, Unready
from remote.transport.rsync_args import Remote
from remote.transport.rsync_tally import Tally
from remote.transport.ssh import Ssh

TARGET = Target.parse("me@gpu:/proj")
REMOTE = Remote(TARGET, Ssh(TARGET.login), TARGET.key)
LOCAL = Remote(Target("", "", "/srv/proj"), None, "k")


def failed(code: int, *lines: str, remote: Remote = REMOTE) -> Exception:
    return rsync.failure(Result(code, b"", "\n".join(lines) + "\n"), remote)


def run(argv: list[str], folder: Path, remote: Remote = REMOTE, watch: Any = None) -> Any:
    return rsync.run(argv, remote, cwd=folder, title="test", watch=watch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "big").write_bytes(bytes(range(256)) * 4000)
    return tmp_path


@pytest.fixture
def over(folder: Path) -> Any:
    """Push over an ssh whose other end does `script`; `"$@"` is the server's rsync."""

    def push(script: str, *options: str, watch: Any = None) -> Any:
        rsh = folder / "ssh"
        rsh.write_text(f"#!/bin/sh\nshift\n{script}\n")
        rsh.chmod(0o755)
        argv = ["rsync", "-ri", "--stats", *options, "-e", str(rsh), "a/", f"gpu:{folder}/b/"]
        return run(argv, folder, watch=watch)

    return push


def test_a_good_transfer_is_counted(over: Any, folder: Path) -> None:
    tally = over('exec "$@"')
    assert tally.sent == ["big"] and tally.bytes > 1_000_000
    assert (folder / "b" / "big").stat().st_size == 1_024_000


def test_an_empty_file_list_is_no_failure(folder: Path) -> None:
    (folder / "none").mkdir()
    assert run(["rsync", "-ri", "none/", "c/"], folder, LOCAL).sent == []


def test_a_folder_that_is_not_there_is_told_apart(folder: Path) -> None:
    with pytest.raises(Absent):
        run(["rsync", "-ri", "no such folder/", "c/"], folder, LOCAL)


NOT_STARTED = {
    "a banner": 'echo "Welcome to GPU"; exec "$@"',
    "a missing folder (dash)": "sleep 0.1; cd /no/such/folder && rsync",
    "a missing folder (bash)": "sleep 0.1; exec bash -c 'cd /no/such/folder && rsync'",
    "a folder of another project": "sleep 0.1; test -d /no/such/folder && rsync",
    "no rsync (dash)": "sleep 0.1; no-such-rsync",
    "no rsync (bash)": "sleep 0.1; exec bash -c no-such-rsync",
    "no rsync, exit 127": "sleep 0.1; echo 'rsync: command not found' >&2; exit 127",
    "killed at once": "sleep 0.1; kill -9 $$",
}


@pytest.mark.parametrize("case", NOT_STARTED)
def test_what_did_not_start_is_told_apart(over: Any, folder: Path, case: str) -> None:
    with pytest.raises(Unready):
        over(NOT_STARTED[case])
    assert not (folder / "b").exists()


@pytest.mark.parametrize("shell", ["fish", "zsh", "csh"])
@pytest.mark.parametrize("command", ["cd /no/such/folder && rsync", "no-such-rsync"])
def test_what_did_not_start_in_other_shells(over: Any, shell: str, command: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    with pytest.raises(Unready):
        over(f"sleep 0.1; exec {shell} -c '{command}'")


def test_an_end_that_closes_before_the_first_word_did_not_start() -> None:
    """The same as a missing folder, when the other end was quicker than we."""
    said = "rsync: [sender] safe_write failed to write 4 bytes to socket: Broken pipe (32)"
    error = "rsync error: error in rsync protocol data stream (code 12) at io.c(387) [sender=3.5.0]"
    assert isinstance(failed(12, said, error), Unready)


def test_ssh_that_fails_is_told_in_its_own_words() -> None:
    """As rsync says it where it waits for ssh to end; where it doesn't, the next call of ssh tells."""
    said = "me@gpu: Permission denied (publickey)."
    closed = "rsync: connection unexpectedly closed (0 bytes received so far) [sender]"
    error = failed(255, said, closed, "rsync error: unexplained error (code 255) at io.c(232)")
    assert isinstance(error, ConnectError) and "refuses the login" in error.message


def test_a_connection_that_breaks_says_try_again(over: Any) -> None:
    with pytest.raises(TransferError) as caught:
        over('exec 3<&0; "$@" <&3 3<&- & sleep 0.4; kill -9 $!; exit 1', "--bwlimit=400")
    assert "me@gpu:/proj broke" in caught.value.message
    assert "Try again" in caught.value.hint


BREAKS = [
    (12, "rsync: connection unexpectedly closed (1234 bytes received so far) [sender]"),
    (12, "rsync: [sender] write error: Broken pipe (32)"),
    (30, "rsync error: timeout in data send/receive (code 30) at io.c(204) [sender=3.2.7]"),
    (10, "rsync: [sender] write error: Connection reset by peer (104)"),
    (12, "rsync: writefd_unbuffered failed to write 4092 bytes to socket [sender]: Broken pipe"),
]


@pytest.mark.parametrize(("code", "line"), BREAKS)
def test_broken_pipes_say_try_again(code: int, line: str) -> None:
    error = failed(code, line)
    assert isinstance(error, TransferError) and "broke" in error.message
    assert "Try again" in error.hint


@pytest.mark.parametrize(
    "ssh", ["", "Connection to gpu closed by remote host.", "mux_client: gone"]
)
def test_a_link_that_breaks_is_told_as_one(ssh: str) -> None:
    words = "rsync error: unexplained error (code 255) at io.c(849) [sender=3.2.7]"
    error = failed(255, *filter(None, [ssh]), words)
    assert isinstance(error, ConnectError) and "unexplained" not in str(error)
    assert "The connection to me@gpu broke" in error.message and "Try again" in error.hint


def test_a_master_that_dies_is_a_connection_error() -> None:
    error = failed(
        255,
        "client_loop: send disconnect: Broken pipe",
        "rsync: [sender] write error: Broken pipe (32)",
        "rsync error: unexplained error (code 255) at io.c(848) [sender=3.2.7]",
    )
    assert isinstance(error, ConnectError) and "me@gpu" in error.message


def _can_mount() -> bool:
    argv = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk_is_named(folder: Path) -> None:
    if not _can_mount():
        pytest.skip("no small file system can be mounted here")
    (folder / "small").mkdir()
    script = 'mount -t tmpfs -o size=64k tmpfs small && exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", "rsync", "-r", "a/"]
    with pytest.raises(FullDisk, match="disk of this machine is full"):
        run([*argv, "small/"], folder, LOCAL)
    there = Remote(Target("", "", f"{folder}/small"), None, "k")
    with pytest.raises(FullDisk, match=f"disk of {folder}/small is full"):
        run([*argv, there.place()], folder, there)


def test_who_watches_a_transfer_ends_it_before_its_file_has_gone(over: Any, folder: Path) -> None:
    class Enough(Exception):
        pass

    def watch(tally: Tally) -> None:
        assert tally.sent == ["big"]
        raise Enough

    with pytest.raises(Enough):
        over('exec "$@"', "--bwlimit=100", watch=watch)
    assert not (folder / "b" / "big").exists()


@pytest.mark.parametrize("code", [11, 12, 23])
@pytest.mark.parametrize("line", ["No space left on device (28)", "Disk quota exceeded (122)"])
def test_a_full_disk_is_named_whatever_the_exit(code: int, line: str) -> None:
    error = failed(
        code,
        f'rsync: [receiver] write failed on "/p/big": {line}',
        "rsync error: error in file IO (code 11) at receiver.c(381) [receiver=3.2.7]",
        "rsync: connection unexpectedly closed (0 bytes received so far) [sender]",
    )
    assert isinstance(error, TransferError) and "is full" in error.message


@pytest.mark.parametrize(
    "line",
    [
        'rsync: [sender] send_files failed to open "/p/s/f": Permission denied (13)',
        'rsync: [generator] recv_generator: mkdir "/p/x" failed: Permission denied (13)',
        'rsync: [receiver] mkstemp "/p/.a.XyZabc" failed: Permission denied (13)',
    ],
)
def test_a_refused_file_is_named(line: str) -> None:
    error = failed(23, line, "rsync error: some files/attrs were not transferred (code 23)")
    assert isinstance(error, TransferError)
    assert "could not move all" in error.message and "Permission denied" in error.message


def test_what_is_not_foreseen_keeps_rsyncs_words_and_code() -> None:
    error = failed(4, "rsync: weird", "rsync error: requested action not supported (code 4)")
    assert isinstance(error, TransferError)
    assert "exit 4" in error.message and "weird" in error.message


@pytest.mark.parametrize("code", [1, 3, 5, 11, 14, 20, 23, 25, 30, 255])
def test_every_message_is_two_lines_at_most(code: int) -> None:
    error = failed(code, "first", "second", "rsync error: x (code 1)")
    assert isinstance(error, RemoteError) and len(str(error).splitlines()) <= 2


def test_silence_is_told_too() -> None:
    assert "no message" in str(failed(11, ""))


def test_files_that_vanish_meanwhile_are_fine(folder: Path) -> None:
    fake = folder / "rsync"
    fake.write_text("#!/bin/sh\necho '>f+++++++++ x'\nexit 24\n")
    fake.chmod(0o755)
    assert run([str(fake)], folder).sent == ["x"]


def test_a_machine_without_rsync_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="rsync is not installed"):
        rsync_dialect.dialect()


def test_pieces_are_cut_into_lines_wherever_they_break(folder: Path) -> None:
    fake = folder / "rsync"
    parts = [
        "'>f++++'",
        "'+++++ 日本'",
        r"'.py\n*dele'",
        r"'ting   old\n'",
        r"'  1,234  50%%   1MB/s'",
    ]
    parts += [r"' 0:00\r'", r"'>f+++++++++ b\r\n'", "'Total bytes sent: 1,0'", r"'00\n'"]
    fake.write_text("#!/bin/sh\n" + "".join(f"printf {part}\nsleep 0.02\n" for part in parts))
    fake.chmod(0o755)
    tally = run([str(fake)], folder)
    assert tally.sent == ["日本.py", "b"] and tally.deleted == ["old"] and tally.bytes == 1000
