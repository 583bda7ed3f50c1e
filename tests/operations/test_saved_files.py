"""What was saved on a server, and which of it may come here."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.errors import TargetError
from remote.job.messages.services import FetchAnswer, SavedAnswer, SavedRequest
from remote.operations import saved_files
from remote.session import TargetSession
from remote.target import Target


class Hostile:
    """An agent that says what the test wants it to."""

    def __init__(self, files: dict[str, bytes], sent: dict[str, bytes]) -> None:
        self.files, self.sent = files, sent

    def call(self, request: Any, *, on_blob: Any = None) -> Any:
        if isinstance(request, SavedRequest):
            return SavedAnswer({name: digest(data) for name, data in self.files.items()})
        blob = io.BytesIO()
        with zipfile.ZipFile(blob, "w") as archive:
            for name, data in self.sent.items():
                archive.writestr(name, data)
        on_blob(blob.getvalue())
        return FetchAnswer(dict.fromkeys(self.sent, 1000000000))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def server(root: Path, files: dict[str, bytes], sent: dict[str, bytes]) -> TargetSession:
    found = TargetSession.of(Project(root, {}), Target.parse(str(root.parent / "target")))
    found.agent = Hostile(files, sent)  # type: ignore[assignment]
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "project/src").mkdir(parents=True)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("name", "comes"),
    [
        ("src/notebooks/日本 語.ipynb", True),
        ("src/lib/digits.py", True),
        ("top.ipynb", True),
        ("tasks.py", False),
        ("Makefile", False),
        ("pyproject.toml", False),
        ("remote/ssh.py", False),
        (".git/hooks/post-checkout", False),
        ("src/.env", False),
        ("../outside.ipynb", False),
        ("src/../../outside.ipynb", False),
        ("/etc/cron.d/x.ipynb", False),
        ("data/raw/x.ipynb", False),
        ("src//x.ipynb", False),
    ],
)
def test_what_may_come(root: Path, name: str, comes: bool) -> None:
    assert saved_files.may_come(name, root, ()) is comes


def test_nothing_comes_through_a_link_that_leads_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "out").symlink_to(tmp_path / "elsewhere")
    assert not saved_files.may_come("out/x.ipynb", root, ())


def test_only_what_differs_waits(root: Path) -> None:
    (root / "src/same.py").write_bytes(b"same")
    (root / "src/other.py").write_bytes(b"mine")
    files = {"src/same.py": b"same", "src/other.py": b"theirs", "src/new.py": b"new"}
    assert saved_files.saved(server(root, files, {})) == ["src/other.py", "src/new.py"]


def test_what_is_replaced_here_is_kept(root: Path) -> None:
    (root / "src/a.py").write_bytes(b"mine")
    there = {"src/a.py": b"theirs", "src/new/b.py": b"new"}
    backup = ".remote/backup/lab"
    names = list(saved_files.bring(server(root, there, there), list(there), backup))
    assert names == ["src/a.py", "src/new/b.py"]
    assert (root / "src/a.py").read_bytes() == b"theirs"
    assert (root / "src/a.py").stat().st_mtime == 1_000_000_000
    assert (root / "src/new/b.py").read_bytes() == b"new"
    assert (root / backup / "src/a.py").read_bytes() == b"mine"


def test_what_is_its_owners_alone_or_a_program_stays_so(root: Path) -> None:
    there = {"src/mine.py": b"theirs", "src/run.py": b"theirs"}
    for name, mode in (("mine", 0o600), ("run", 0o755)):
        (root / f"src/{name}.py").write_bytes(b"mine")
        (root / f"src/{name}.py").chmod(mode)
    backup = ".remote/backup/lab"
    assert list(saved_files.bring(server(root, there, there), list(there), backup)) == list(there)
    for folder in (root, root / backup):
        assert (folder / "src/mine.py").stat().st_mode & 0o777 == 0o600
        assert (folder / "src/run.py").stat().st_mode & 0o777 == 0o755


def test_what_nobody_asked_for_is_refused(root: Path) -> None:
    sent = {"../../.bashrc": b"evil"}
    with pytest.raises(TargetError, match="which was not requested"):
        list(saved_files.bring(server(root, {}, sent), ["src/a.py"], "kept"))
    assert not (root.parent.parent / ".bashrc").exists()


def test_what_is_too_long_keeps_nothing_else_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saved_files, "LONGEST_SAVED", 10)
    (root / "src/a.py").write_bytes(b"mine")
    there = {"src/a.py": b"theirs", "src/b.ipynb": b"longer than that", "src/c.ipynb": b"new"}
    with pytest.raises(TargetError, match=r"Not copied: src/b.ipynb \(longer than 10 B\)") as error:
        saved_files.bring_and_tell(server(root, there, there))
    assert "by hand" in error.value.hint
    assert (root / "src/c.ipynb").read_bytes() == b"new"
    out, err = capfd.readouterr()
    assert out.splitlines() == ["src/a.py", "src/c.ipynb"]
    assert "2 files copied; local versions are kept in .remote/backup/lab-" in err


def test_what_was_replaced_before_the_rest_failed_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (root / "src/a.py").write_bytes(b"mine")
    there = {"src/a.py": b"theirs", "src/b.py": b"theirs"}
    session = server(root, there, there)
    may_come = saved_files.may_come
    monkeypatch.setattr(
        saved_files,
        "may_come",
        lambda name, root, outputs=(): may_come(name, root, outputs)
        and not (name == "src/b.py" and (root / ".remote/backup").exists()),
    )
    with pytest.raises(TargetError, match="src/b.py can't be copied here any more"):
        saved_files.bring_and_tell(session)
    out, err = capfd.readouterr()
    assert out == "src/a.py\n" and "local versions are kept in .remote/backup/lab-" in err


def test_what_the_server_did_not_send_is_told(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = {"src/a.py": b"theirs", "src/b.py": b"theirs"}
    with pytest.raises(TargetError, match=r"src/b.py \(changed on the server meanwhile\)"):
        saved_files.bring_and_tell(server(root, there, {"src/a.py": b"theirs"}))
    assert capfd.readouterr().out == "src/a.py\n"
