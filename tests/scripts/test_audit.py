"""`scripts/audit.sh`: known vulnerabilities fail a check, and what can't be looked up doesn't."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("python", "audit", "code", "said"),
    [
        ("exit 0", "exit 2", 0, "pip-audit can't be fetched"),
        ("exit 1", "echo asked", 0, "pypi.org doesn't tell"),
        ("kill -ALRM $$", "echo asked", 0, "pypi.org doesn't tell"),
        ("exit 0", 'for last; do :; done; cat "$last"', 0, "a==1\nb==1.5+cpu\na==2\n"),
        ("exit 0", "[ $3 = --version ] || { echo GHSA-x; exit 1; }", 1, "GHSA-x"),
    ],
)
def test_only_what_is_known_to_be_vulnerable_fails_the_check(
    tmp_path: Path, python: str, audit: str, code: int, said: str
) -> None:
    done = audited(tmp_path, python, audit)
    assert done.returncode == code and said in done.stdout and "asked" not in done.stdout


def test_what_was_looked_up_today_is_not_again_until_a_lock_file_changes(tmp_path: Path) -> None:
    assert audited(tmp_path, "exit 0", "echo asked").stdout == "asked\n" * 2
    os.utime(tmp_path / "requirements.lock", (1, 1))
    os.utime(tmp_path / "requirements-a.lock", (1, 1))
    assert again(tmp_path).stdout == ""
    os.utime(tmp_path / ".audited", (5, 5))
    assert again(tmp_path).stdout == "asked\n" * 2
    os.utime(tmp_path / "requirements.lock", (1 << 32, 1 << 32))
    assert again(tmp_path).stdout == "asked\n" * 2


def audited(folder: Path, python: str, audit: str) -> subprocess.CompletedProcess[str]:
    """The script's end, with these programs and two lock files."""
    (folder / "bin").mkdir()
    for name, script in (("python", python), ("uvx", audit)):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    text = "a==1 ; python_full_version < '3.11' \\\n    --hash=sha256:00\nb==1.5+cpu\n"
    (folder / "requirements.lock").write_text(text)
    (folder / "requirements-a.lock").write_text("a==2\n")
    return again(folder)


def again(folder: Path) -> subprocess.CompletedProcess[str]:
    argv = ["sh", str(ROOT / "scripts/audit.sh"), "bin"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True)
