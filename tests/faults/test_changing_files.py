"""Files that are written while they are pushed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.conftest import ProjectFolder

pytestmark = pytest.mark.timeout(300)


def test_what_was_written_during_a_push_is_there_after_the_next_one(
    project: ProjectFolder, target_root: Path
) -> None:
    log, edited = project.root / "data/raw/growing.bin", project.root / "src/edited.py"
    project.inv("sync-push")
    (project.root / "data/raw/big.bin").write_bytes(os.urandom(20_000_000))
    push, count = project.start("sync-push"), 0
    while push.poll() is None:
        count += 1
        # Always of the same length.
        edited.write_text(f"count = {count:09d}\n")
        with open(log, "ab") as file:
            file.write(b"x" * 1000)
        time.sleep(0.01)
    out, err = push.communicate()
    assert push.returncode == 0, (out, err)
    project.inv("sync-push")
    assert (target_root / "src/edited.py").read_text() == edited.read_text()
    assert (target_root / "data/raw/growing.bin").read_bytes() == log.read_bytes()
    assert not [name for name in os.listdir(target_root / "data/raw") if name[0] == "."]
