"""`inv remote-gpus`: every GPU of this machine, who holds it, and who waits for one."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from remote.agent.gpus import sources
from remote.agent.gpus.lease import Holder, holders
from remote.agent.gpus.sources.base import Gpu
from remote.agent.gpus.tickets import waiting
from remote.job.messages.gpus import (
    GpuHolder,
    GpuProcess,
    GpuReport,
    GpusAnswer,
    GpusRequest,
    WaitingJob,
)
from remote.job.paths import LEASES


def describe(request: GpusRequest) -> GpusAnswer:
    """Every GPU with the job that leases it, if one does, and the line of those that wait."""
    folder = Path(request.leases or LEASES)
    held = holders(folder)
    return GpusAnswer(
        gpus=tuple(_report(gpu, held.get(gpu.uuid)) for gpu in sources.gpus()),
        waiting=tuple(WaitingJob(**asdict(job)) for job in waiting(folder)),
        now=time.time(),
        cuda=sources.runtime_version(),
    )


def _report(gpu: Gpu, holder: Optional[Holder]) -> GpuReport:
    facts = {name: value for name, value in vars(gpu).items() if name != "processes"}
    return GpuReport(
        **facts,
        processes=tuple(GpuProcess(**asdict(process)) for process in gpu.processes),
        holder=GpuHolder(**asdict(holder)) if holder else None,
    )
