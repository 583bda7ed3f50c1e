"""What sources of GPU facts tell again and again while a job runs."""

from __future__ import annotations

from typing import NamedTuple, Optional


class GpuSample(NamedTuple):
    """What a card does at one moment: MiB, percent, watts, degrees Celsius; None isn't told."""

    uuid: str
    memory_used: Optional[float] = None
    memory_total: Optional[float] = None
    load: Optional[float] = None
    power: Optional[float] = None
    power_limit: Optional[float] = None
    temperature: Optional[float] = None
