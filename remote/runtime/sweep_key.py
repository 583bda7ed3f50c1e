"""What decides the outcome of a sweep, as digests: two sweeps are the same where these are equal."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterable

from remote.files import sha256, write_atomic
from remote.job.outputs import below, links
from remote.job.paths import slug
from remote.job.spec import read_job
from remote.runtime.job_context import Job

#: Settings of a sweeper that say how much, how fast and where to, and not what is searched.
_HOW = ("n_trials", "n_jobs", "max_batch_size", "max_failure_rate", "study_name", "storage")


def parts_of(job: Job, settings: Any) -> Dict[str, str]:
    """The digest of each part, by the words for it. `settings` is Hydra's config, as a dict."""
    hydra = settings["hydra"]
    sweeper = {key: value for key, value in hydra["sweeper"].items() if key not in _HOW}
    searched = [sweeper.pop(key, None) for key in ("params", "custom_search_space")]
    values = {
        "search space": [*searched, hydra["overrides"]["task"]],
        "sampler": sweeper,
        "configuration": [
            {**settings, "hydra": [hydra["job"][key] for key in ("env_set", "chdir")]}
        ],
        "environment": [sorted(job.spec.env.items()), job.spec.extras],
        "code": [job.spec.kind, job.spec.source, code_digest(job.folder, job.code)],
    }
    # A snapshot's path names its job.
    return {
        part: _digest(repr(value).replace(job.folder.name, "")) for part, value in values.items()
    }


def name_of(job: Job, parts: Dict[str, str], given: str = "") -> str:
    """What the user calls a sweep, or else its job, with a digest of all its parts."""
    return f"{given or slug(job.spec.name or 'job')}-{_digest(repr(parts))[:8]}"


def code_digest(folder: Path, code: Path) -> str:
    """The digest of a job's code as it was before its program began: what the first attempt, or the
    job whose snapshot runs once more, wrote into it is no code."""
    job = read_job(folder)
    notes = [folder.with_name(name) / "code.sha256" for name in (folder.name, job.again) if name]
    digest = next((note.read_text() for note in notes if note.is_file()), "")
    if not digest:
        outputs = links(job.outputs)
        names = [name for name in sorted(_names(code)) if not below(name, outputs)]
        digest = _digest("\n".join(f"{name} {_content(code / name)}" for name in names))
    with contextlib.suppress(OSError):
        write_atomic(notes[0], digest.encode())
    return digest


def _names(code: Path) -> Iterable[str]:
    """The files of a snapshot; of a project that a job runs in, those that git doesn't ignore."""
    argv = ["git", "-C", str(code), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        if (code / ".git").exists():
            yield from os.fsdecode(subprocess.check_output(argv)).split("\0")
            return
    for folder, folders, names in os.walk(str(code)):
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        yield from (os.path.relpath(os.path.join(folder, name), str(code)) for name in names)


def _content(path: Path) -> str:
    with contextlib.suppress(OSError):
        return sha256(path) if path.is_file() else ""
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
