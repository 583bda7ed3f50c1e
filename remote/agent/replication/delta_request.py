"""What a pull asks for: the records that changed, after lost jobs were seen to."""

from __future__ import annotations

import os
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Union

from remote.agent.answers import AnswerWithFile
from remote.agent.job_folders.find_jobs import every, live
from remote.agent.job_folders.liveness import state_of
from remote.agent.replication import discovery
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import store_of
from remote.errors import StoreError
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.paths import STATE
from remote.job.state import ENDED
from remote.tracking.sources import source_of

_PART = 1 << 20  # bytes


def delta(request: DeltaRequest) -> Union[DeltaAnswer, AnswerWithFile]:
    """What changed in a store; of the target's own, unless the request names another.

    With the target's own, jobs that got lost are ended first, and the answer tells which jobs
    have ended, and which stores it has beside its own.
    """
    root, store = root_of(request.key), request.store
    path = discovery.path_of(root, store) if store else store_of(root)
    answer = DeltaAnswer(root=str(root))
    if not store:
        running = {paths.id for paths in live(root) if state_of(paths).state not in ENDED}
        ended = tuple(paths.id for paths in every(root) if paths.id not in running)
        answer = replace(answer, ended=ended, others=discovery.others(root))
    source = source_of(path)
    if source is None and not store:
        return answer
    if source is None:
        raise StoreError(f"{path} isn't an MLflow store.")
    handle, name = tempfile.mkstemp(prefix="delta-", dir=str(root / STATE))
    os.close(handle)
    source.write_delta(
        path, Path(name), request.known, roots=[str(root)], registry=request.registry
    )
    file = Path(_compressed(name) if request.compress else name)
    return AnswerWithFile(replace(answer, empty=False), file)


def _compressed(name: str) -> str:
    """Rows repeat their words: even the fastest setting makes them a quarter as long."""
    packer = zlib.compressobj(1)
    with open(name, "rb") as plain, open(name + ".z", "wb") as packed:
        for part in iter(lambda: plain.read(_PART), b""):
            packed.write(packer.compress(part))
        packed.write(packer.flush())
    os.unlink(name)
    return name + ".z"
