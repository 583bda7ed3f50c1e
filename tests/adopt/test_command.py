from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from remote.__main__ import main
from remote.adopt.command import write
from remote.adopt.edits import Change
from tests.adopt.conftest import Existing

CTRL_C, CTRL_D = b"\x03", b"\x04"

pytestmark = pytest.mark.timeout(60)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def answered(root: Path, *answers: bytes) -> tuple[int, str]:
    """`adopt` at a terminal, where somebody types; its exit code and what was to be seen."""
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "remote", "adopt", str(root)]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen, waiting = b"", list(answers)
    with contextlib.suppress(OSError):
        # A terminal whose other end is closed gives an error on Linux, and nothing elsewhere.
        while piece := os.read(master, 1 << 16):
            seen += piece
            if seen.endswith(b"[q]uit: ") and waiting:
                _type(master, process, waiting.pop(0))
    os.close(master)
    return process.wait(30), seen.decode().replace("\r\n", "\n")


def _type(master: int, process: subprocess.Popen[bytes], answer: bytes) -> None:
    if answer == CTRL_C:
        # Later, since Python itself can miss a signal that comes just before it begins to read.
        threading.Timer(0.5, process.send_signal, (signal.SIGINT,)).start()
    else:
        os.write(master, answer + b"\n")


@pytest.fixture
def two(existing: Existing) -> Existing:
    """A project with two files that would be changed."""
    existing.write("Makefile", "all:\n")
    existing.write(".gitignore", "*.pt\n")
    return existing


def test_new_files_need_no_asking(existing: Existing, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adopt", str(existing.root)]) == 0
    assert {"tasks.py", "Makefile", ".rsyncignore", ".env.example"} <= set(contents(existing.root))
    assert not (existing.root / ".remote").exists()
    before = contents(existing.root)
    assert main(["adopt", str(existing.root)]) == 0
    assert "Nothing to do" in capsys.readouterr().out and contents(existing.root) == before


def test_without_a_terminal_nothing_is_touched(
    two: Existing, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(two.root)
    assert main(["adopt", str(two.root)]) == 1
    said = capsys.readouterr()
    assert "+mlflow.db*" in said.out and "--yes" in said.err
    assert main(["adopt", str(two.root), "--dry-run"]) == 0
    assert contents(two.root) == before


def test_yes_keeps_what_was_there(two: Existing) -> None:
    (two.root / "Makefile").chmod(0o600)
    assert main(["adopt", str(two.root), "--yes"]) == 0
    [kept] = (two.root / ".remote/backup").iterdir()
    assert contents(kept) == {"Makefile": b"all:\n", ".gitignore": b"*.pt\n"}
    assert (two.root / "Makefile").stat().st_mode & 0o777 == 0o600


def test_each_file_is_asked_for(two: Existing) -> None:
    code, said = answered(two.root, b"maybe", b"no", b"Y")
    assert code == 0 and "Not changed: Makefile." in said
    assert (two.root / "Makefile").read_text() == "all:\n"
    assert "mlflow" in (two.root / ".gitignore").read_text()
    assert (two.root / "tasks.py").is_file()


def test_all_means_the_rest_too(two: Existing) -> None:
    code, said = answered(two.root, b"all")
    assert code == 0 and said.count("[q]uit") == 1
    assert "mlflow" in (two.root / ".gitignore").read_text()


@pytest.mark.parametrize("end", [b"q", CTRL_C, CTRL_D])
def test_who_quits_has_nothing_changed(two: Existing, end: bytes) -> None:
    before = contents(two.root)
    code, said = answered(two.root, b"y", end)
    assert code == 1 and "Nothing was changed." in said and "Traceback" not in said
    assert contents(two.root) == before


@pytest.mark.parametrize("name", ["remote.py", "remote/__init__.py", "src/remote.py"])
def test_a_module_of_the_same_name_is_refused(
    existing: Existing, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    existing.write(name, "")
    assert main(["adopt", str(existing.root)]) == 2
    assert "called remote too" in capsys.readouterr().err
    assert not (existing.root / "tasks.py").exists()


def test_what_is_no_project_is_refused(
    existing: Existing, isolated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[2]
    for folder in (existing.root / "nowhere", isolated, Path("/"), root):
        assert main(["adopt", str(folder)]) == 2, folder
        assert "Traceback" not in capsys.readouterr().err


def test_links_and_folders_in_the_way_are_left_alone(
    existing: Existing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "shared.mk"
    elsewhere.write_text("all:\n")
    (existing.root / "Makefile").symlink_to(elsewhere)
    (existing.root / ".env.example").mkdir()
    existing.write("requirements.txt", "").write_bytes(b"\xff\xfe\n")
    assert main(["adopt", str(existing.root)]) == 0
    said = capsys.readouterr().out
    assert (
        "Makefile is a link" in said
        and ".env.example can't be read" in said
        and "requirements.txt can't be read" in said
    )
    assert elsewhere.read_text() == "all:\n"


def test_what_can_not_be_written_is_an_error(existing: Existing) -> None:
    from remote.errors import ConfigError

    with pytest.raises(ConfigError, match="can't be written"):
        write(existing.root, [Change("no folder/x", None, "")])


def test_what_can_not_be_kept_first_is_an_error_and_changes_nothing(existing: Existing) -> None:
    from remote.errors import ConfigError

    existing.write(".remote", "in the way")
    names = [existing.write(name, "old").name for name in ("a", "b")]
    with pytest.raises(ConfigError, match="a can't be kept in .remote/backup/adopt-") as error:
        write(existing.root, [Change(name, "old", "new") for name in names])
    assert error.value.hint == "Nothing was changed."
    assert [(existing.root / name).read_text() for name in names] == ["old", "old"]


def test_without_words_it_helps_and_starts_light() -> None:
    script = "import runpy, sys; sys.argv = ['remote']\ntry: runpy.run_module('remote', run_name='__main__')\nfinally: print([each for each in ('mlflow', 'invoke', 'fabric') if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and "adopt" in done.stdout and done.stdout.endswith("[]\n")


def test_an_mlproject_is_what_is_run_next(existing: Existing) -> None:
    existing.write("train.py", "")
    existing.write("MLproject", "name: x\n")
    assert existing.plan().steps[-1] == "inv remote-run . --follow --pull"
