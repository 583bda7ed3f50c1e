"""What a pull asks for: the records that changed, after lost jobs were seen to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping

from remote.host import delta as deltas
from remote.host.jobs import every, live, state_of
from remote.host.place import root_of
from remote.host.records import store_of
from remote.host.store import is_store
from remote.job import ENDED, STATE


def delta(*, key: str, known: Mapping[str, Any]) -> Dict[str, Any]:
    """What changed in the target's store since `known`; jobs that got lost are ended first.

    `ended` in the answer are the jobs whose records and results were whole before this began.
    """
    root = root_of(key)
    running = {paths.id for paths in live(root) if state_of(paths)["state"] not in ENDED}
    ended = [paths.id for paths in every(root) if paths.id not in running]
    if not is_store(store_of(root)):
        return {"empty": True, "ended": ended}
    handle, name = tempfile.mkstemp(prefix="delta-", dir=str(root / STATE))
    os.close(handle)
    summary = deltas.write(store_of(root), Path(name), known)
    return {
        "empty": False,
        "summary": summary,
        "root": str(root),
        "ended": ended,
        "blob": name,
    }
