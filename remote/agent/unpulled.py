"""What a job's code wrote where no pull brings it from: told of, and kept until it was brought.

Before the code begins, its files become its own, since a program may write into them, and
`frozen.json` lists them; at its end, what differs is `unpulled.json`, and what doesn't is shared with
other snapshots again. A list, since a program may give a new file the size and time of an old one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from remote.errors import ProtocolError
from remote.files import is_absent, plural, read_json, size, without_controls, write_json
from remote.job import outputs
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import Unpulled

#: Folders that tools fill by themselves.
CACHES = ("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache")

#: Longer files, in bytes, are shared also while the code runs: they are data that programs read.
LONGEST = 64 << 20

#: In the job's folder: a file that is about to replace one of the code.
PART = "file.part"

#: How many files of `data` are looked at: a data set may have millions.
MANY = 200_000


def begin(paths: JobPaths, job: Job) -> None:
    """Give the job files of its own, and list them."""
    if not (job.interpreter or job.live or paths.frozen.exists()):
        import shutil

        for name, status in _files(paths.code):
            if status.st_nlink > 1 and status.st_size <= LONGEST:
                _replace(paths, name, shutil.copy2, paths.code)
        write_json(paths.frozen, {name: _mark(status) for name, status in _files(paths.code)})


def end(paths: JobPaths, job: Job) -> None:
    """Write down what the code has written, and put it into the log."""
    _drop_part(paths)
    if not paths.frozen.exists():
        return
    _give_back(paths, job)
    files = read(paths, job).files
    if files:
        Unpulled(files=files).to_file(paths.unpulled)
    before = read_json(paths.frozen) or {}
    # First, since it tells nothing of files that were replaced.
    paths.frozen.unlink()
    for name, status in _files(paths.code):
        if status.st_nlink == 1 and before.get(name) == _mark(status):
            _replace(paths, name, os.link, paths.pristine)
    if files:
        with open(str(paths.log), "ab") as log:
            log.write(f"[remote] no pull copies what was written to {summary(files)}\n".encode())
            log.write(f"[remote] to copy it: inv remote-fetch {paths.id}\n".encode())


def _replace(paths: JobPaths, name: str, copy: Callable[[str, str], Any], source: Path) -> None:
    """Replace a file of the code by what `copy` makes of that in `source`, or leave it as it is."""
    new = str(paths.folder / PART)
    try:
        with contextlib.suppress(OSError):
            copy(str(source / name), new)
            os.replace(new, str(paths.code / name))
    finally:
        _drop_part(paths)


def _drop_part(paths: JobPaths) -> None:
    """What is left of a file where its worker was stopped, or killed, or its disk was full."""
    with contextlib.suppress(OSError):
        os.unlink(str(paths.folder / PART))


def read(paths: JobPaths, job: Optional[Job]) -> Unpulled:
    """What the job's code has written so far, and nobody has brought; raises ProtocolError where that
    can't be told."""
    if not paths.frozen.exists():
        return _listed(paths)
    if job is None:
        raise ProtocolError(f"{paths.job.name} is damaged.", _look(paths))
    return Unpulled(files=_written(paths, job))


def _listed(paths: JobPaths) -> Unpulled:
    """What unpulled.json lists; a damaged one is not one of no files."""
    listed = Unpulled.from_file(paths.unpulled)
    if listed is None and not is_absent(paths.unpulled):
        raise ProtocolError(f"{paths.unpulled.name} is damaged.", _look(paths))
    return listed or Unpulled()


def _look(paths: JobPaths) -> str:
    return f"Copy what you need of {paths.code} by hand. Then: inv remote-rm {paths.id} --force"


def of_ended(paths: JobPaths) -> str:
    """What an ended job left, in words; empty where it left nothing."""
    try:
        files = _listed(paths).files
    except ProtocolError as error:
        return f"what it wrote is unknown: {error.message}"
    return summary(files) if files else ""


def brought(paths: JobPaths, names: Iterable[str]) -> None:
    """Forget files that were brought."""
    gone = set(names)
    files = _listed(paths).files
    Unpulled(files={name: bytes for name, bytes in files.items() if name not in gone}).to_file(
        paths.unpulled
    )


def summary(files: Mapping[str, int]) -> str:
    """How many files, how much, and the names of the largest."""
    largest = sorted(files, key=lambda name: -files[name])
    names = ", ".join(largest[:3]) + (", ..." if len(largest) > 3 else "")
    return f"{without_controls(names)} ({plural(len(files), 'file')}, {size(sum(files.values()))})"


def _written(paths: JobPaths, job: Job) -> Dict[str, int]:
    before, began = read_json(paths.frozen) or {}, paths.frozen.stat().st_mtime_ns
    files = {
        name: status.st_size
        for name, status in _files(paths.code)
        if status.st_size
        and before.get(name) != _mark(status)
        and not _is_same(paths.root / name, paths.code / name)
    }
    stores = _stores(paths, files)
    files = {name: bytes for name, bytes in files.items() if not outputs.below(name, stores)}
    in_data = itertools.islice(_files(paths.root / "data", _brought_from_data(job)), MANY)
    files.update(
        {
            f"data/{name}": status.st_size
            for name, status in in_data
            if status.st_size and status.st_mtime_ns >= began
        }
    )
    return files


def _mark(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _files(top: Path, leave: Iterable[str] = ()) -> Iterator[Tuple[str, os.stat_result]]:
    """The files below a folder, but for caches and what is below `leave`."""
    for place, folders, names in os.walk(str(top)):
        inner = os.path.relpath(place, str(top))
        folders[:] = [
            name
            for name in folders
            if name not in CACHES and os.path.normpath(os.path.join(inner, name)) not in leave
        ]
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                path = os.path.normpath(os.path.join(inner, name))
                if stat.S_ISREG(status.st_mode) and path not in leave:
                    yield path, status


def _is_same(pushed: Path, own: Path) -> bool:
    """Whether the target has the same file, so that nothing would be lost with the job's."""
    # Most calls of the agent compare nothing, and start faster without.
    import filecmp

    with contextlib.suppress(OSError):
        return filecmp.cmp(str(pushed), str(own), shallow=False)
    return False


def _brought_from_data(job: Job) -> Tuple[str, ...]:
    """What a pull brings from `data`, and data/raw, which jobs don't write to; seen from `data`."""
    rows = (row.path for row in outputs.table(job.outputs))
    return ("raw", *(path[len("data/") :] for path in rows if outputs.below(path, ["data"])))


def _stores(paths: JobPaths, files: Iterable[str]) -> List[str]:
    """MLflow's stores among new files of the snapshot, which come by the merge."""
    from remote.agent.tracking.job_run import noted_stores
    from remote.errors import StoreError
    from remote.tracking.sources import source_of

    tops = {name.split("/")[0] for name in files}
    own = f"{paths.code.relative_to(paths.root)}/"
    noted = [place[len(own) :] for place in noted_stores(paths) if place.startswith(own)]
    stores = []
    for place in [*(top for top in tops if is_absent(paths.root / top)), *noted]:
        # What can't be read now is kept as any other file is.
        with contextlib.suppress(StoreError):
            stores += [place] if source_of(paths.code / place) else []
    return [store + end for store in stores for end in ("", "-wal", "-shm", "-journal")]


def _give_back(paths: JobPaths, job: Job) -> None:
    """Have outputs be the target's where the code put new ones over the links (`rm -rf logs`)."""
    for row in filter(lambda row: row.pulled, outputs.table(job.outputs)):
        own, target = paths.code / row.path, paths.root / row.path
        with contextlib.suppress(OSError):
            if row.is_file and own.is_file() and not own.is_symlink():
                os.replace(str(own), str(target))
                os.symlink(str(target), str(own))
            elif not row.is_file and own.is_dir() and not own.samefile(target):
                _move_new(own, target)


def _move_new(folder: Path, target: Path) -> None:
    """Move what isn't in `target`; another job's files stay as they are."""
    for name in [name for name, _ in _files(folder)]:
        if not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(str(folder / name), str(target / name))
