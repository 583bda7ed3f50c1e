"""What jobs keep for those that go on where they stopped (REMOTE_JOB_STATE_DIR): it goes with the last
job that has anything of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Collection, List

from remote.agent.job_folders import every, job_of
from remote.job.paths import ID_PATTERN, states_folder


def unused(root: Path, removed: Collection[str] = ()) -> List[Path]:
    """The state folders of which no job is left, but for those that are `removed`."""
    folder = states_folder(root)
    # What is being removed has a name with a dot.
    names = sorted(filter(ID_PATTERN.match, os.listdir(str(folder)))) if folder.is_dir() else []
    jobs = [paths for paths in every(root) if paths.id not in removed] if names else []
    used = {paths.id for paths in jobs}
    if all(name in used for name in names):
        return []
    # Read only where one would go: there may be thousands.
    read = [job_of(paths) for paths in jobs]
    if None in read:
        # One of a newer version may go on with any of them.
        return []
    used.update(job.state for job in read if job)
    return [folder / name for name in names if name not in used]
