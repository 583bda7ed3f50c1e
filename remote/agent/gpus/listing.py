"""`inv remote-gpus`: every GPU of this machine, who holds it, and who waits for one."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict

from remote.agent.gpus import sources
from remote.agent.gpus.holders import holders
from remote.agent.gpus.tickets import waiting
from remote.job.paths import LEASES


def describe(*, key: str, leases: str = "") -> Dict[str, Any]:
    """`gpus` with their processes and `holder` (job, user, pid; None where free), `waiting`."""
    folder = Path(leases or LEASES)
    held = holders(folder)
    found = [
        {**asdict(gpu), "holder": asdict(held[gpu.uuid]) if gpu.uuid in held else None}
        for gpu in sources.gpus()
    ]
    queue = [asdict(each) for each in waiting(folder)]
    return {"gpus": found, "waiting": queue, "now": time.time(), "cuda": sources.runtime_version()}
