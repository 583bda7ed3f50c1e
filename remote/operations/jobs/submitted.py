"""What was submitted from here, kept here: by that a job runs once more on another target, and not by
what the server says that it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from remote.files import read_json, sha256, write_json
from remote.folders import leads_out
from remote.job import fields, outputs
from remote.job.fields import HEX
from remote.job.paths import STATE
from remote.job.spec import JobSpec
from remote.job.struct import Struct
from remote.transport.sent_names import all_sent_names

#: Below the project's `.remote`: a file for each job, by its id, which begins with the time.
FOLDER = "submitted"

#: Of how many jobs that is kept.
KEPT = 1000

#: What a job's copy of the code leaves out beside what jobs write.
CACHES = ("__pycache__", ".ipynb_checkpoints")

#: What decides on what is run, and stays as it was asked.
DECISIVE = (
    "kind", "source", "arguments", "parameters", "env", "cwd", "notify", "entry_point", "service",
    "extras", "outputs", "nodes", "sbatch",
)  # fmt: skip


class Submitted(Struct):
    """One job: what was asked, and the hashes of its code and of what that has beyond its commit."""

    job: JobSpec = fields.nested(JobSpec)
    code: str = fields.text(64, HEX)
    diff: str = fields.text(64, HEX)

    def differences(self, job: JobSpec, diff: str) -> list[str]:
        """What a server says otherwise."""
        names = [name for name in DECISIVE if getattr(job, name) != getattr(self.job, name)]
        return names + (["uncommitted changes"] if text_hash(diff) != self.diff else [])


def remember(state: Path, job_id: str, submitted: Submitted) -> None:
    """Keep what was asked of a job, for its owner alone: parameters may be private."""
    folder = state / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    submitted.to_file(folder / f"{job_id}.json", mode=0o600)
    for path in sorted(folder.glob("*-*.json"))[:-KEPT]:
        path.unlink(missing_ok=True)


def recall(state: Path, job_id: str) -> Submitted | None:
    """What was asked of a job; None where that was not from here, or long ago."""
    return Submitted.from_file(state / FOLDER / f"{job_id}.json")


def text_hash(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def pushed_code(root: Path, declared: Iterable[str], left: Iterable[str] = ()) -> str:
    """The hash of what a push of the project sends, but for what is no part of a job's code: outputs,
    where the target has links, and what is held back, which both are `left`."""
    shared = (*outputs.links(declared), *left)
    names = all_sent_names(root, [*declared])
    code = (name for name in names if not outputs.below(name, shared) and _is_code(name))
    return _tree_hash(root, code, cache=root / STATE / FOLDER / "hashes.json")


def code_in(folder: Path) -> str:
    """The hash of code that lies in a folder, as `pushed_code` has it."""
    return _tree_hash(folder, filter(_is_code, _files(folder)))


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*names, *links):
            yield (Path(place) / name).relative_to(folder).as_posix()


def _is_code(name: str) -> bool:
    return not any(part in CACHES for part in name.split("/")[:-1])


def _tree_hash(top: Path, names: Iterable[str], cache: Path | None = None) -> str:
    """One hash of all names and contents; files that stayed as they were are read once."""
    known = (read_json(cache) or {}) if cache else {}
    states: dict[str, list[object]] = {}
    total = hashlib.sha256()
    for name in sorted(names):
        path = top / name
        if path.is_symlink():
            target = os.readlink(path)
            # A job's copy of the code has it lead to the same by another path.
            digest = "-> out" if leads_out(name, target) else f"-> {target}"
        else:
            status = path.stat()
            state = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            before = known.get(name)
            digest = before[-1] if before and before[:-1] == state else sha256(path)
            states[name] = [*state, digest]
        total.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
    if cache and states != known:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, states)
    return total.hexdigest()
