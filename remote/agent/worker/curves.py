"""What a job uses of its machine over time, as MLflow's own system metrics of its run.

The names are those of mlflow/system_metrics, whose page in MLflow's UI shows what begins with
`system/`; they tell of the job's processes and cards alone, and not of the whole machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from remote.agent.gpus.sample import GpuSample
from remote.agent.tracking import run_rows
from remote.agent.worker.usage import GpuUsage, TreeUse
from remote.errors import StoreError

#: Seconds before the first point, and between the others. These grow with the job's time, so that
#: one of a day has a thousand, which all have to be pulled.
FIRST, PAUSE, SPREAD = 10.0, 5.0, 200.0

#: Seconds between two writings, each one transaction.
WRITE = 60.0

MIB, MB = 2**20, 1e6


class Curves:
    """Those of one run. Where its code logs such metrics itself, there are none beside them."""

    def __init__(self, store: Path, run: Optional[run_rows.RecordedRun], gpus: GpuUsage) -> None:
        self._store, self._run, self._gpus = store, run, gpus
        self._began = self._looked = self._written = time.monotonic()
        self._due = self._began + FIRST
        self._before = TreeUse()
        self._read = self._disk_written = 0.0
        self._points: List[run_rows.Point] = []
        self._step = 0
        self._newest: Optional[int] = None

    def look(self, use: TreeUse) -> None:
        """Note what is used, where it is time for a point."""
        now = time.monotonic()
        if self._run is None or now < self._due:
            return
        values = {**self._of_processes(use, now), **self._of_gpus()}
        moment = int(time.time() * 1000)
        self._points += [
            run_rows.Point(f"system/{name}", value, moment, self._step)
            for name, value in values.items()
        ]
        self._step += 1
        self._looked, self._before = now, use
        self._due = now + max(PAUSE, (now - self._began) / SPREAD)
        if now - self._written > WRITE:
            self.write()

    def write(self) -> None:
        """Put what was noted into the store, unless that can't be written: no job fails by it."""
        self._written = time.monotonic()
        points = tuple(self._points)
        if self._run is None or not points:
            return
        with contextlib.suppress(StoreError, OSError):
            run_id = self._run.run_id
            if run_rows.add_points(self._store, run_id, points, newest=self._newest):
                self._newest = points[-1].timestamp
            else:
                self._run = None
            del self._points[: len(points)]

    def _of_processes(self, use: TreeUse, now: float) -> Dict[str, float]:
        # What a process did is lost to us where it ended and nobody below us waited for it.
        _, cpu, read, written = (max(0.0, new - old) for new, old in zip(use, self._before))
        self._read += read
        self._disk_written += written
        share = cpu / (now - self._looked) / (os.cpu_count() or 1)
        values = {
            "cpu_utilization_percentage": 100 * share,
            "system_memory_usage_megabytes": use.memory / MB,
            "disk_read_megabytes": self._read / MB,
            "disk_write_megabytes": self._disk_written / MB,
        }
        total = _machine_memory()
        if total:
            values["system_memory_usage_percentage"] = 100 * use.memory / total
        return values

    def _of_gpus(self) -> Dict[str, float]:
        means = self._gpus.means()
        cards = [means.get(uuid) for uuid in self._gpus.uuids]
        return {
            f"gpu_{number}_{name}": value
            for number, card in enumerate(cards)
            if card
            for name, value in _of_gpu(card).items()
        }


def _of_gpu(card: GpuSample) -> Mapping[str, float]:
    megabytes = None if card.memory_used is None else card.memory_used * MIB / MB
    values = {
        "utilization_percentage": card.load,
        "memory_usage_megabytes": megabytes,
        "memory_usage_percentage": _percent(card.memory_used, card.memory_total),
        "power_usage_watts": card.power,
        "power_usage_percentage": _percent(card.power, card.power_limit),
        "temperature_celsius": card.temperature,
    }
    return {name: value for name, value in values.items() if value is not None}


def _percent(part: Optional[float], whole: Optional[float]) -> Optional[float]:
    return 100 * part / whole if part is not None and whole else None


def _machine_memory() -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
