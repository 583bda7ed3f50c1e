"""What reaches us beside the agent's answers: words of rsync's, noise of a login shell, zip files."""

from __future__ import annotations

import io
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from remote import output
from remote.config import Project
from remote.errors import RemoteError, TargetError, TransferError
from remote.job.messages.services import FetchAnswer
from remote.operations import saved_files
from remote.operations.transfers.pull_backups import PulledFiles
from remote.rpc.wire import SshWire
from remote.session import TargetSession
from remote.target import Target
from remote.transport import process, rsync, skip_banner
from remote.transport.rsync_args import Remote
from remote.transport.rsync_problems import problems_of
from remote.transport.rsync_tally import Tally
from remote.transport.ssh import Ssh


@pytest.mark.parametrize(
    "line",
    [
        "Number of files: many",
        "Number of files:",
        "Number of files: ²",
        "Number of files: ,",
        f"Number of files: {'9' * 9000}",
        f"Total bytes sent: {'9' * 9000}",
        "Total bytes sent: \u0663\u0663",
        f"{'9' * 9000} 10% 1MB/s",
        f"1 {'9' * 9000}% 1MB/s",
        "1 999% 1MB/s",
        ",,, 10% 1MB/s",
        f"1 1% {'9' * 9000}/s",
    ],
)
def test_no_number_of_rsyncs_is_too_odd_or_too_long(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server writes into the stream that they stand in (rsync's MSG_INFO)."""
    tally = Tally()
    tally.read(line)
    assert tally.files + tally.bytes < 1 << 90
    monkeypatch.setattr("sys.stderr", io.StringIO())
    progress = output.Progress("pulling")
    progress.shown = True
    progress.read_rsync(line)
    assert len(sys.stderr.getvalue()) < 300  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["../../victim", "data/../../victim", "{top}/victim", "a -> b/../../victim"]
)
def test_no_name_that_leads_out_of_the_project_is_noted_or_removed(
    name: str, tmp_path: Path
) -> None:
    """Such a name, told twice, had any file of the user's for one that a pull had brought."""
    (tmp_path / "victim").write_text("x")
    pulled = PulledFiles(tmp_path / "pulled.files", tmp_path / "project/root")
    backup = tmp_path / "project/backup"
    for folder in (pulled.root, backup):
        for made in ("data", "a -> b"):
            (folder / made).mkdir(parents=True)
    name = name.format(top=tmp_path)
    pulled.add([name])
    pulled.drop_unchanged(Tally(replaced=[name]), backup)
    assert (tmp_path / "victim").exists() and pulled.file.read_text() == ""


def test_names_without_end_end_the_transfer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rsync, "LONGEST_OUTPUT", 4 << 20)
    remote = Remote(Target("", "", str(tmp_path)), None, "")
    for words in ("yes '>f+++++++++ x'", "yes x | tr -d '\\n'"):
        argv = ["rsync", "-c", words, "x"]
        # In rsync's place.
        with pytest.raises(TransferError, match="names without end"):
            rsync.run(["sh", *argv[1:]], remote, cwd=tmp_path, title="pulling")


def test_the_search_for_a_path_in_endless_complaints_ends() -> None:
    words = "rsync: change_dir " * 100_000
    problems = problems_of(words, is_pull=True, target="gpu", root="/p", folder="x")
    assert len(problems) == 1 and len(problems[0].text) < 6000


def test_a_login_shell_that_prints_without_end_is_ended() -> None:
    result = process.run([sys.executable, skip_banner.__file__, "sh", "-c", "yes | tr -d '\\n'"])
    assert result.code == 1 and "megabyte" in result.stderr and result.stdout == b""


def test_what_is_printed_while_the_agent_is_brought_has_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ssh, "command", lambda ssh, remote: ["yes"])
    with pytest.raises(TransferError, match="wrote more than"):
        SshWire(Ssh("gpu")).bring("agent.zip", b"")


def test_what_ssh_says_last_is_escaped_also_where_a_traceback_shows_it() -> None:
    error = Ssh("gpu").failure("hello\n\x1b]52;c;cm0=\x07\x9b2J\u202e" + "x" * 9000)
    assert error.message.isprintable() and len(error.message) < 1200


def test_one_long_cell_makes_no_other_row_long() -> None:
    rows = [("a", "x" * 60_000, "b"), *[("a", "b", "c")] * 5000]
    assert sum(map(len, output.table(rows))) < 1_000_000


def saved(root: Path, blob: bytes) -> None:
    """Have a server send this zip file for `src/a.py`."""

    class Agent:
        def call(self, request: Any, *, on_blob: Any) -> FetchAnswer:
            on_blob(blob)
            return FetchAnswer({"src/a.py": 5})

    server = TargetSession.of(Project(root, {}), Target.parse(str(root.parent / "target")))
    server.agent = Agent()  # type: ignore[assignment]
    list(saved_files.bring(server, ["src/a.py"], "kept"))


def zipped(content: bytes, name: str = "src/a.py", kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", kind) as archive:
        archive.writestr(name, content)
    return blob.getvalue()


def understated(blob: bytes, actual: int, told: int) -> bytes:
    """A zip file that says of its file to be shorter than it is."""
    return blob.replace(actual.to_bytes(4, "little"), told.to_bytes(4, "little"))


BOMB = bytes(30 << 20)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"garbage",
        zipped(b"x")[:-10],
        zipped(BOMB),
        understated(zipped(BOMB), len(BOMB), 1000),
        zipped(b"x", "src/b.py"),
        zipped(b"x" * 100).replace(b"src/a.py", b"src/a.p\xff"),
        zipped(b"x").replace(b"PK\x01\x02", b"PK\x01\x03"),
    ],
)
def test_a_zip_file_that_is_none_or_too_large_is_refused(
    blob: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_files, "LONGEST_SAVED", 1 << 20)
    (tmp_path / "project/src").mkdir(parents=True)
    tracemalloc.start()
    try:
        with pytest.raises(TargetError):
            saved(tmp_path / "project", blob)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert [path.name for path in (tmp_path / "project").rglob("*")] == ["src"]


def test_an_archive_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_files, "LONGEST_ARCHIVE", 1000)
    (tmp_path / "project").mkdir()
    with pytest.raises(RemoteError, match="more than"):
        saved(tmp_path / "project", bytes(2000))
