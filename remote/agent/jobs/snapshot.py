"""The frozen copy of the pushed code that one job runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Iterator, List, Optional

from remote.errors import TargetError
from remote.job.outputs import OUTPUTS, SHARED
from remote.job.paths import STATE, JobPaths, jobs_folder


@contextlib.contextmanager
def freezing(paths: JobPaths, source: Path) -> Iterator[None]:
    """Copy `source` (the pushed tree, or another snapshot) into the job's `code`, while the body
    does something else.

    Unchanged files are shared with the last snapshot. Files are shared with other snapshots only,
    never with the live tree: an edit in place there would reach the job.
    """
    unfinished = paths.folder / "code.part"
    argv = rsync_argv(source, unfinished, previous=_newest(paths))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as rsync:
        try:
            yield
        except BaseException:
            rsync.kill()
            raise
        stderr = rsync.communicate()[1]
    if rsync.returncode not in (0, 24):
        raise TargetError(f"The job's copy of the code could not be made: {_words(stderr)}")
    _share(paths.root, unfinished)
    # Who sees `code` sees all of it.
    os.rename(str(unfinished), str(paths.code))


def _words(stderr: bytes) -> str:
    """What rsync complained of first; what follows is how it broke off."""
    text = stderr.decode("utf-8", "replace")
    if "No space left on device" in text:
        return "No space left on the server's disk."
    return (text.strip().splitlines() or ["rsync said nothing"])[0]


def rsync_argv(root: Path, code: Path, *, previous: Optional[Path]) -> List[str]:
    """rsync from the target's tree into a snapshot, on the server itself."""
    kept_out = [STATE, *SHARED, *OUTPUTS]
    excludes = [f"--exclude=/{name}" for name in dict.fromkeys(kept_out)]
    excludes += ["--exclude=/mlflow.db?*", "--exclude=.~tmp~"]
    shared = [f"--link-dest={previous}"] if previous else []
    return ["rsync", "-a", *shared, *excludes, "--", f"{root}/", f"{code}/"]


def _newest(paths: JobPaths) -> Optional[Path]:
    """The newest other snapshot; ids begin with the time, so the last in order is the newest."""
    names = sorted(os.listdir(str(jobs_folder(paths.root))), reverse=True)
    for name in names:
        code = jobs_folder(paths.root) / name / "code"
        if name != paths.id and code.is_dir():
            return code
    return None


def _share(root: Path, code: Path) -> None:
    for name in SHARED:
        source = root / name
        if not name.endswith(".db"):
            source.mkdir(parents=True, exist_ok=True)
        os.symlink(str(source), str(code / name))
