"""What a job was, and how two jobs of a target differ: code, parameters, environment."""

from __future__ import annotations

import contextlib
import difflib
import filecmp
import itertools
import os
from pathlib import Path
from typing import AbstractSet, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from remote.agent.environments import LOCK_FILES, packages
from remote.agent.job_folders import find, job_of, newest_first
from remote.agent.job_state import state_of
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.files import read_json
from remote.job import outputs
from remote.job.messages import old_jobs as messages
from remote.job.paths import JobPaths

#: Files longer than this, in bytes, are only said to differ.
LONGEST = 1 << 20


def account(request: messages.AccountRequest) -> messages.AccountAnswer:
    """All that is recorded of a job; raises JobError."""
    paths = find(root_of(request.key), request.job)
    job = job_of(paths)
    if job is None:
        raise JobError(
            f"{paths.id} has no job.json that this version of the toolkit reads.",
            f"Its files are in {paths.folder} on the server.",
        )
    diff = paths.diff.read_text("utf-8", "surrogateescape") if paths.diff.is_file() else ""
    return messages.AccountAnswer(
        job=job, status=state_of(paths), diff=diff, folder=paths.first_code.name
    )


def differences(request: messages.DifferencesRequest) -> messages.DifferencesAnswer:
    """How the second job differs from the first: what was asked, what it became, its code."""
    root = root_of(request.key)
    before, after = find(root, request.before), find(root, request.after)
    if before.id == after.id:
        before = _submitted_before(root, after)
    jobs = [job for job in map(job_of, (before, after)) if job]
    shared = outputs.links(name for job in jobs for name in job.outputs)
    lines = _code(before.first_code, after.first_code, leave={*LOCK_FILES, *shared})
    code = list(itertools.islice(lines, messages.DIFF_LINES))
    if next(lines, None) is not None:
        code.append(f"({messages.DIFF_LINES} lines; the rest is left out)")
    return messages.DifferencesAnswer(
        ids=(before.id, after.id),
        asked=_changes(_asked(before), _asked(after)),
        became=_changes(_became(before), _became(after)),
        packages=_changes(_packages(before), _packages(after)),
        code=tuple(code),
    )


def _submitted_before(root: Path, job: JobPaths) -> JobPaths:
    """The job before that one; raises JobError for the first of all."""
    others = itertools.dropwhile(lambda paths: paths.id != job.id, newest_first(root))
    found = next(itertools.islice(others, 1, None), None)
    if found is None:
        raise JobError(
            f"{job.id} is the first job of this target: there is none before it.",
            "Name the two jobs: inv remote-diff JOB JOB",
        )
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Tuple[messages.Change, ...]:
    names = sorted({*before, *after})
    pairs = (messages.Change(name, before.get(name), after.get(name)) for name in names)
    return tuple(change for change in pairs if change.before != change.after)


def _asked(paths: JobPaths) -> Dict[str, Any]:
    """What was asked, flat: `parameters.epoch`, `git.commit`.

    What a program's default was is no less a parameter than what was typed. Whether it was asked
    `again` says nothing of how two jobs differ.
    """
    job = job_of(paths)
    if job is None:
        return {}
    asked = {**job.spec.to_json(), "parameters": job.all_parameters}
    flat: Dict[str, Any] = {}
    for name, value in asked.items():
        if name not in ("defaults", "again", "state"):
            if isinstance(value, dict):
                flat.update({f"{name}.{inner}": content for inner, content in value.items()})
            else:
                flat[name] = value
    return flat


def _packages(paths: JobPaths) -> Mapping[str, Any]:
    """What the job's environment had: as the job noted it, else as its lock file says."""
    noted = read_json(paths.packages)
    return noted if isinstance(noted, dict) else packages(paths.first_code)


def _became(paths: JobPaths) -> Dict[str, Any]:
    status = state_of(paths)
    shown = ("state", "exit_code", "cause", "environment", "driver", "cuda", "host")
    gpus = ", ".join(gpu.name for gpu in status.gpus)
    return {**{name: getattr(status, name) for name in shown}, "gpus": gpus}


def _code(before: Path, after: Path, *, leave: AbstractSet[str]) -> Iterator[str]:
    """Unified diffs of all files that differ; those of the same inode are the same file."""
    for name in sorted({*_files(before), *_files(after)} - leave):
        old, new = before / name, after / name
        # One that isn't there, or can't be read, isn't the same.
        with contextlib.suppress(OSError):
            if old.samefile(new) or filecmp.cmp(str(old), str(new), shallow=False):
                continue
        old_lines, new_lines = _lines(old), _lines(new)
        if old_lines is None or new_lines is None:
            yield f"{name}: differs (no text, or too long to show)"
        else:
            names = (f"a/{name}", f"b/{name}")
            lines = list(difflib.unified_diff(old_lines, new_lines, *names, lineterm=""))
            yield from lines
            if not lines and (old.is_file() or new.is_file()):
                yield f"{name}: differs (empty, or in the end of its last line)"


def _files(code: Path) -> Iterator[str]:
    """Their paths below `code`; folders that jobs share are links, which os.walk doesn't follow."""
    for place, folders, names in os.walk(str(code)):
        # What Python makes of the source differs wherever that does.
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            yield os.path.relpath(os.path.join(place, name), str(code))


def _lines(path: Path) -> Optional[List[str]]:
    """The lines of a text; none where there is no file; None for what is no text."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    if len(data) > LONGEST or b"\0" in data:
        return None
    try:
        # Not splitlines: an end of line may be a difference too.
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        return None
    return lines if lines[-1] else lines[:-1]
