"""`inv remote-gpus`: every GPU of this machine, who holds it, and who waits for one."""

from __future__ import annotations

import time
from pathlib import Path

from remote.agent.gpus import sources
from remote.agent.gpus.lease import holders
from remote.agent.gpus.tickets import waiting
from remote.job.messages.gpus import GpuReport, GpusAnswer, GpusRequest
from remote.job.paths import LEASES


def describe(request: GpusRequest) -> GpusAnswer:
    """Every GPU with the job that leases it, if one does, and the line of those that wait."""
    folder = Path(request.leases or LEASES)
    held = holders(folder)
    reports = [GpuReport(**vars(gpu), holder=held.get(gpu.uuid)) for gpu in sources.gpus()]
    return GpusAnswer(
        gpus=tuple(reports),
        waiting=tuple(waiting(folder)),
        now=time.time(),
        cuda=sources.runtime_version(),
    )
