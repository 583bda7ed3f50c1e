"""A target that was moved on its server: the records of its store name the folder that it was."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote

from remote.agent.tracking.job_run import store_of
from remote.errors import StoreError, UnusableStore
from remote.files import plural, write_atomic
from remote.job.paths import STATE
from remote.tracking.store import connect_read_only, is_store, usable


def mend_moved(root: Path) -> str:
    """Has the records of a moved target lead to where their files are now; says so, or nothing.

    New runs would write to the old folder, made anew, and no pull brings what lies there.
    """
    store = store_of(root)
    try:
        if not is_store(store) or not _leads_out(store, root):
            return ""
        # Seldom needed, and jobs start faster without.
        from remote.tracking.check.stored_paths import State, mend_paths, paths_of

        moved = [path for path in paths_of(store) if path.state is State.MOVED]
        for old in {path.old for path in moved} - {""}:
            _mend_programs(root, old)
        mended = mend_paths(store, moved)
    except UnusableStore:
        # Whoever needs its records tells of it.
        return ""
    except StoreError as error:
        return f"The paths of its records lead out of {root}, and can't be fixed: {error.message}"
    if not mended:
        return ""
    old = ", ".join(sorted({path.old or "mlruns" for path in mended}))[:1000]
    paths = plural(len(mended), "path")
    return (
        f"This target was moved or copied, or is reached by another path: {paths} of its records led to"
        f" {old}, and lead to {root} now."
    )


def _mend_programs(root: Path, old: str) -> None:
    """Have the programs of the target's environments find their interpreter, which they name by its
    place in their first lines."""
    before, after = (os.fsencode(f"{folder}/{STATE}/envs/") for folder in (old, root))
    for program in (root / STATE / "envs").glob("*/bin/*"):
        # One that can't be read, or written, fails as it would have.
        with suppress(OSError):
            head, place, rest = program.read_bytes().partition(before)
            if place and head.startswith(b"#!") and len(head) < 100 and not program.is_symlink():
                write_atomic(program, head + after + rest, mode=program.stat().st_mode & 0o777)


def _leads_out(store: Path, root: Path) -> bool:
    """Whether an experiment keeps its artifacts in another folder of this machine."""
    with usable(store), closing(connect_read_only(store)) as database:
        locations = database.execute("SELECT artifact_location FROM experiments").fetchall()
    texts = [text for (text,) in locations if isinstance(text, str)]
    folders = [text for text in texts if text.startswith(("/", "file:"))]
    return any(f"{root}/" not in text and f"{root}/" not in unquote(text) for text in folders)
