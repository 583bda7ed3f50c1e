"""AMD's GPUs as amd-smi tells of them, which comes with ROCm 6 and later.

What it says: `amd-smi static --json`, `amd-smi metric --json`, `amd-smi process --json`; a list of
cards, or since ROCm 7 an object that has it. What a card doesn't tell is `N/A`.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional

from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import programs
from remote.job.messages.gpus import Gpu, GpuProcess

PROGRAM = "amd-smi"

#: ROCm's own; it takes UUIDs: rocm.docs.amd.com, "GPU isolation techniques".
VISIBLE_DEVICES = "ROCR_VISIBLE_DEVICES"

#: Seconds between two looks. Each takes some tenths of a second of a processor.
LOOK = 10

_METRIC = ("metric", "--usage", "--mem-usage", "--power", "--temperature", "--json")
_WATCH = f"while {PROGRAM} {' '.join(_METRIC)}; do sleep {LOOK}; done"


def is_present() -> bool:
    """Whether amd-smi is on the PATH."""
    return programs.is_present(PROGRAM)


def gpus() -> List[Gpu]:
    """All GPUs, by amd-smi's index; raises JobError where it fails."""
    metrics = _by_index(_asked(*_METRIC))
    processes = _by_index(_asked("process", "--json")) if metrics else {}
    return [
        _gpu(index, static, metrics.get(index, {}), processes.get(index, {}))
        for index, static in sorted(_static().items())
    ]


def runtime_version() -> str:
    """Empty: what a driver serves depends on the ROCm of the job's own environment."""
    return ""


def watch_command(uuids: Iterable[str]) -> List[str]:
    """A shell that asks amd-smi again and again: its own way to do so has no JSON that can be parted."""
    return ["sh", "-c", _WATCH]


def samples(lines: Iterable[str]) -> Iterator[GpuSample]:
    """One for each card of each answer."""
    names = {index: _uuid(static, index) for index, static in _static().items()}
    for answer in _answers(lines):
        for index, metric in _by_index(answer).items():
            yield GpuSample(
                names.get(index, ""),
                _value(metric, "mem_usage", "used_vram"),
                _value(metric, "mem_usage", "total_vram"),
                _value(metric, "usage", "gfx_activity"),
                _value(metric, "power", "socket_power"),
                None,
                _temperature(metric),
            )


def _static() -> Dict[int, Dict[str, Any]]:
    return _by_index(_asked("static", "--asic", "--vram", "--driver", "--json"))


def _gpu(index: int, static: Any, metric: Any, process: Any) -> Gpu:
    uuid = _uuid(static, index)
    load, used = _value(metric, "usage", "gfx_activity"), _value(metric, "mem_usage", "used_vram")
    total = _value(metric, "mem_usage", "total_vram") or _value(static, "vram", "size")
    driver = _at(static, "driver", "version") or _at(static, "driver", "driver_version")
    return Gpu(
        index=index,
        uuid=uuid,
        name=programs.plain(str(_at(static, "asic", "market_name") or "AMD GPU")),
        memory_total=None if total is None else int(total),
        memory_used=None if used is None else int(used),
        load=None if load is None else int(load),
        driver=programs.plain(str(driver or "")),
        processes=tuple(_processes(process)),
        fault="" if uuid.startswith("GPU-") else "it has no serial number to be chosen by",
    )


def _uuid(static: Any, index: int) -> str:
    """As ROCm has it: of the card's unique number, which integrated ones lack."""
    return programs.rocm_uuid(str(_at(static, "asic", "asic_serial")), index)


def _processes(process: Any) -> Iterator[GpuProcess]:
    for entry in _at(process, "process_list") or ():
        found = _at(entry, "process_info")
        # A sentence, where there is none.
        if isinstance(found, dict) and isinstance(found.get("pid"), int):
            memory = _value(found, "memory_usage", "vram_mem") or 0
            yield programs.process(found["pid"], int(memory / 2**20))


def _temperature(metric: Any) -> Optional[float]:
    """Of the hottest spot; consumer cards tell the edge's."""
    values = [_value(metric, "temperature", name) for name in ("hotspot", "edge")]
    return next((value for value in values if value is not None), None)


def _asked(*words: str) -> Any:
    said = programs.said(PROGRAM, *words)
    # Warnings may stand before it.
    return next(iter(_answers(said.splitlines(keepends=True))), [])


def _answers(lines: Iterable[str]) -> Iterator[Any]:
    """The JSON documents that are printed one after the other, each from a line's begin on."""
    text = ""
    for line in lines:
        text = text + line if text else line if re.match(r"[\[{]", line) else ""
        if text and re.match(r"[\]}]", line) or (text == line and len(text.strip()) > 1):
            with contextlib.suppress(ValueError):
                yield json.loads(text)
                text = ""


def _by_index(answer: Any) -> Dict[int, Dict[str, Any]]:
    cards = answer.get("gpu_data") if isinstance(answer, dict) else answer
    rows = [card for card in cards or () if isinstance(card, dict)]
    return {row["gpu"]: row for row in rows if isinstance(row.get("gpu"), int)}


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value == "N/A" else value


def _value(value: Any, *names: str) -> Optional[float]:
    """An amount, with its unit beside it (MiB, %, W, °C) or bare."""
    found = _at(value, *names)
    amount = _at(found, "value") if isinstance(found, dict) else found
    return float(amount) if isinstance(amount, (int, float)) else None
