"""`inv remote-put`: large files to a server, over a connection that breaks."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.conftest import ProjectFolder
from tests.waiting import until


def test_a_copy_that_was_cut_off_goes_on_where_it_was(
    project: ProjectFolder, target_root: Path, tmp_path: Path
) -> None:
    project.inv("sync-push")
    data = os.urandom(80 << 20)
    (tmp_path / "big.bin").write_bytes(data)
    (tmp_path / "small.txt").write_text("small")
    words = [
        "remote-put",
        str(tmp_path / "small.txt"),
        str(tmp_path / "big.bin"),
        "--to",
        "data/raw/x",
    ]
    process = project.start(*words)

    def arrived() -> bool:
        parts = (target_root / "data/raw").rglob(".big.bin.*")
        return any(part.stat().st_size > 8 << 20 for part in parts)

    until(lambda: arrived() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130 and not (target_root / "data/raw/x/big.bin").exists()
    said = project.inv(*words).out
    assert (target_root / "data/raw/x/big.bin").read_bytes() == data
    assert (target_root / "data/raw/x/small.txt").read_text() == "small"
    assert "The server has all of it, with the same content." in said
    # What had arrived is not sent again, nor anything the next time.
    sent = re.search(r"2 files, ([\d.]+) MB", said)
    assert sent and float(sent[1]) < 80
    assert "0 files" in project.inv(*words).out
    names = sorted(path.name for path in (target_root / "data/raw/x").iterdir())
    assert names == ["big.bin", "small.txt"]
