"""What a job was, and how two jobs of a target differ: code, parameters, environment."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from remote.agent.environments import LOCK_FILES, packages
from remote.agent.jobs.lifecycle import find, state_of
from remote.agent.target_dir import root_of
from remote.files import read_json
from remote.job.paths import SHARED, JobPaths

#: Files longer than this, in bytes, are only said to differ.
LONGEST = 1 << 20

#: Fields that differ between any two jobs and say nothing.
OWN = ("id", "submitted", "submitter", "mlflow_run", "again")


def account(*, key: str, job: str) -> Dict[str, Any]:
    """All that is recorded of a job: `job`, `status`, and `diff` (code beyond its git commit)."""
    paths = find(root_of(key), job)
    diff = paths.diff.read_text("utf-8", "surrogateescape") if paths.diff.is_file() else ""
    return {"job": read_json(paths.job), "status": state_of(paths), "diff": diff}


def differences(*, key: str, jobs: List[str]) -> Dict[str, Any]:
    """How the second job differs from the first.

    `asked` and `became` hold [name, then, now] of job.json and of what became of it; `packages`
    the same of the lock file; `code` the lines of a unified diff.
    """
    root = root_of(key)
    before, after = find(root, jobs[0]), find(root, jobs[1])
    return {
        "ids": [before.id, after.id],
        "asked": _changes(_asked(before), _asked(after)),
        "became": _changes(_became(before), _became(after)),
        "packages": _changes(packages(before.code), packages(after.code)),
        "code": list(_code(before.code, after.code)),
    }


def _asked(paths: JobPaths) -> Dict[str, Any]:
    """job.json, flat: `parameters.epoch`, `git.commit`."""
    found: Dict[str, Any] = {}
    for name, value in (read_json(paths.job) or {}).items():
        if name in OWN:
            continue
        if isinstance(value, dict):
            found.update({f"{name}.{inner}": each for inner, each in value.items()})
        else:
            found[name] = value
    # What a notebook's default was is no less a parameter than what was typed.
    for name in [name for name in found if name.startswith("defaults.")]:
        value = found.pop(name)
        found.setdefault("parameters." + name.partition(".")[2], value)
    return found


def _became(paths: JobPaths) -> Dict[str, Any]:
    status = state_of(paths)
    shown = ("state", "exit_code", "cause", "environment", "driver", "cuda", "host")
    gpus = ", ".join(gpu["name"] for gpu in status.get("gpus", ()))
    return {**{name: status.get(name) for name in shown}, "gpus": gpus}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> List[List[Any]]:
    names = sorted({*before, *after})
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return [[name, then, now] for name, then, now in pairs if then != now]


def _code(before: Path, after: Path) -> Iterator[str]:
    """Unified diffs of all files that differ; those of the same inode are the same file."""
    for name in sorted({*_files(before), *_files(after)}):
        if name in LOCK_FILES:
            continue
        old, new = before / name, after / name
        if not _same(old, new):
            yield from _diff(name, old, new)


def _files(code: Path) -> Iterator[str]:
    for place, folders, names in os.walk(str(code)):
        here = os.path.relpath(place, str(code))
        folders[:] = [name for name in folders if here != "." or name not in SHARED]
        for name in names:
            if here != "." or name not in SHARED:
                yield os.path.normpath(os.path.join(here, name))


def _same(old: Path, new: Path) -> bool:
    try:
        one, other = os.stat(str(old)), os.stat(str(new))
    except OSError:
        return False
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    return one.st_size == other.st_size and old.read_bytes() == new.read_bytes()


def _diff(name: str, old: Path, new: Path) -> Iterator[str]:
    before, after = _lines(old), _lines(new)
    if before is None or after is None:
        yield f"{name}: differs (no text, or too long to show)"
        return
    yield from difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm="")


def _lines(path: Path) -> Optional[List[str]]:
    """The lines of a text; none where there is no file; None for what is no text."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    if len(data) > LONGEST or b"\0" in data:
        return None
    return data.decode("utf-8", "replace").splitlines()
