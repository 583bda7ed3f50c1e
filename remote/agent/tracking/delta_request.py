"""What a pull asks for: the records that changed, after lost jobs were seen to."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, Mapping

from remote.agent.jobs.lifecycle import every, live, state_of
from remote.agent.target_dir import root_of
from remote.agent.tracking import discovery
from remote.agent.tracking.job_run import store_of
from remote.errors import StoreError
from remote.job.paths import STATE
from remote.job.state import ENDED
from remote.tracking.sources import source_of

_PART = 1 << 20  # bytes


def delta(
    *,
    key: str,
    known: Mapping[str, Any],
    store: str = "",
    registry: bool = False,
    compress: bool = False,
) -> Dict[str, Any]:
    """What changed in a store since `known`; of the target's own, unless `store` names another.

    With the target's own, jobs that got lost are ended first, `ended` are the jobs whose records
    and results were whole before this began, and `others` the stores that it has beside its own,
    with their marks.
    """
    root = root_of(key)
    answer: Dict[str, Any] = {"empty": True, "root": str(root)}
    path = discovery.path_of(root, store) if store else store_of(root)
    if not store:
        running = {paths.id for paths in live(root) if state_of(paths)["state"] not in ENDED}
        answer["ended"] = [paths.id for paths in every(root) if paths.id not in running]
        answer["others"] = discovery.others(root)
    source = source_of(path)
    if source is None and not store:
        return answer
    if source is None:
        raise StoreError(f"{path} isn't an MLflow store.")
    handle, name = tempfile.mkstemp(prefix="delta-", dir=str(root / STATE))
    os.close(handle)
    answer["summary"] = source.write_delta(
        path, Path(name), known, roots=[str(root)], registry=registry
    )
    answer["blob"] = _compressed(name) if compress else name
    return dict(answer, empty=False)


def _compressed(name: str) -> str:
    """Rows repeat their words: even the fastest setting makes them a quarter as long."""
    packer = zlib.compressobj(1)
    with open(name, "rb") as plain, open(name + ".z", "wb") as packed:
        for part in iter(lambda: plain.read(_PART), b""):
            packed.write(packer.compress(part))
        packed.write(packer.flush())
    os.unlink(name)
    return name + ".z"
