"""A target on a disk whose locks hold on no other machine, or on none."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.job.status import FINISHED
from remote.rpc import bundle
from tests.slurm.conftest import Target

#: What such a disk says to who asks for a lock: to each of two machines that it has it, or to
#: nobody anything.
ALONE = "def flock(file, kind): pass"
LOCKLESS = f"def flock(file, kind): raise OSError({errno.ENOLCK}, 'No locks available')"

#: What stands for uv: it takes its time, and says each time that it was called.
UV = """\
#!/bin/sh
test "$1" = --version && exit 0
echo "$SLURMD_NODENAME" >> '{calls}'
for folder; do :; done
if test "$1" = venv; then
sleep 1
mkdir -p "$folder/bin"
printf '#!/bin/sh\\nexec "{python}" "$@"\\n' > "$folder/bin/python"
chmod +x "$folder/bin/python"
fi
"""


@pytest.fixture
def calls(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What uv was called, once for each of the two programs that make an environment that isn't
    there yet."""
    lock = target.root / "requirements.lock"
    before = lock.read_text()
    lock.write_text(f"# {tmp_path}\n")
    file, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text(UV.format(calls=file, python=sys.executable))
    (programs / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    yield file
    lock.write_text(before)


@pytest.mark.parametrize("disk", [ALONE, LOCKLESS], ids=["alone", "lockless"])
def test_two_nodes_that_want_an_environment_make_one(
    target: Target, calls: Path, disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = bundle.contents()
    broken = f"import fcntl\n{disk}\nfcntl.flock = flock\n".encode()
    files["remote/files.py"] = files["remote/files.py"].replace(b"import fcntl\n", broken, 1)
    agent = tmp_path / "agent.zip"
    agent.write_bytes(bundle.packed(files))
    monkeypatch.setattr(sys, "argv", [str(agent)])
    # The login node's own part, which is this process.
    space: dict[str, object] = {}
    exec(disk, space)
    monkeypatch.setattr(fcntl, "flock", space["flock"])
    jobs = [target.start("true", sbatch=(f"--nodelist=gpu{number}",)) for number in (1, 2)]
    for paths in jobs:
        assert target.became(paths).state == FINISHED, paths.log.read_text()
    assert len(calls.read_text().split()) == 2, calls.read_text()
    said = [paths.log.read_text() for paths in jobs]
    assert sum("making the environment" in text for text in said) == 1
    assert sum("is making" in text for text in said) == 1
    assert not list((target.root / ".remote/envs").glob("*.maker-*"))
