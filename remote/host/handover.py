"""What a pull asks for: the records that changed, after lost jobs were seen to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping

from remote.host import delta as deltas
from remote.host.jobs import every, state_of
from remote.host.place import root_of
from remote.host.records import store_of
from remote.host.store import is_store
from remote.job import STATE


def delta(*, key: str, known: Mapping[str, Any]) -> Dict[str, Any]:
    """What changed in the target's store since `known`; jobs that got lost are ended first."""
    root = root_of(key)
    for paths in every(root):
        state_of(paths)
    if not is_store(store_of(root)):
        return {"empty": True}
    handle, name = tempfile.mkstemp(prefix="delta-", dir=str(root / STATE))
    os.close(handle)
    summary = deltas.write(store_of(root), Path(name), known)
    return {"empty": False, "summary": summary, "root": str(root), "blob": name}
