"""Each Python of an environment reads the line, also of one that an earlier version made."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent.environments import job_hook


@pytest.mark.parametrize("before", [None, b"import old", job_hook.LINE])
def test_the_line_is_there_afterwards(tmp_path: Path, before: bytes | None) -> None:
    packages = tmp_path / "env/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    file = packages / job_hook.NAME
    if before is not None:
        file.write_bytes(before)
    inode = file.stat().st_ino if before else 0
    job_hook.install(tmp_path / "env")
    assert file.read_bytes() == job_hook.LINE and file.stat().st_mode & 0o777 == 0o644
    # What is right isn't written anew: somebody else's environment may be used, too.
    assert (file.stat().st_ino == inode) == (before == job_hook.LINE)
