"""AMD's GPUs as rocm-smi tells of them, on servers whose ROCm is older than amd-smi.

`rocm-smi --json`: an object with `card0`, `card1` … and `system`, all of its values text.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Iterable, Iterator, List, Optional

from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import programs
from remote.agent.gpus.sources.amd_smi import LOOK, VISIBLE_DEVICES
from remote.errors import JobError
from remote.job.messages.gpus import Gpu

__all__ = ["VISIBLE_DEVICES", "gpus", "is_present", "runtime_version", "samples", "watch_command"]

PROGRAM = "rocm-smi"

_ASKED = ("--showuniqueid", "--showproductname", "--showmeminfo", "vram", "--showuse",
          "--showpower", "--showtemp", "--showdriverversion", "--json")  # fmt: skip
_WATCH = f"while {PROGRAM} {' '.join(_ASKED)}; do echo; sleep {LOOK}; done"

#: What versions call the same.
_NAMES = ("Card Series", "Card series", "Card Model", "Card model")
_POWER = ("Average Graphics Package Power (W)", "Current Socket Graphics Package Power (W)")
_TEMPERATURE = ("Temperature (Sensor junction) (C)", "Temperature (Sensor edge) (C)")


def is_present() -> bool:
    """Whether rocm-smi is on the PATH."""
    return programs.is_present(PROGRAM)


def gpus() -> List[Gpu]:
    """All GPUs, by rocm-smi's index; raises JobError where it fails.

    It doesn't tell which process is on which card: memory in use alone shows a stranger.
    """
    said = programs.said(PROGRAM, *_ASKED)
    answer = next((each for each in map(_read, said.splitlines()) if each), None)
    if answer is None and said.strip():
        raise JobError(
            f"rocm-smi can't be understood: {programs.plain(said.strip(), 300)}",
            "See what it prints on the server (rocm-smi).",
        )
    driver = _first(_system(answer), ("Driver version",))
    return [_gpu(index, card, driver) for index, card in sorted(_cards(answer).items())]


def runtime_version() -> str:
    """Empty, as for amd-smi."""
    return ""


def watch_command(uuids: Iterable[str]) -> List[str]:
    """A shell that asks rocm-smi again and again."""
    return ["sh", "-c", _WATCH]


def samples(lines: Iterable[str]) -> Iterator[GpuSample]:
    """One for each card of each line of JSON."""
    for answer in map(_read, lines):
        for index, card in _cards(answer).items():
            yield GpuSample(
                _uuid(card, index),
                _mebibytes(card, "VRAM Total Used Memory (B)"),
                _mebibytes(card, "VRAM Total Memory (B)"),
                _number(_first(card, ("GPU use (%)",))),
                _number(_first(card, _POWER)),
                None,
                _number(_first(card, _TEMPERATURE)),
            )


def _gpu(index: int, card: Dict[str, Any], driver: str) -> Gpu:
    uuid, load = _uuid(card, index), _number(_first(card, ("GPU use (%)",)))
    return Gpu(
        index=index,
        uuid=uuid,
        name=programs.plain(_first(card, _NAMES) or "AMD GPU"),
        memory_total=_mebibytes(card, "VRAM Total Memory (B)"),
        memory_used=_mebibytes(card, "VRAM Total Used Memory (B)"),
        load=None if load is None else int(load),
        driver=programs.plain(driver),
        fault="" if uuid.startswith("GPU-") else "it has no unique id to be chosen by",
    )


def _uuid(card: Dict[str, Any], index: int) -> str:
    return programs.rocm_uuid(_first(card, ("Unique ID",)), index)


def _read(line: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(line)
    return None


def _cards(answer: Any) -> Dict[int, Dict[str, Any]]:
    items = answer.items() if isinstance(answer, dict) else ()
    return {
        int(name[4:]): card
        for name, card in items
        if name.startswith("card") and name[4:].isdigit() and isinstance(card, dict)
    }


def _system(answer: Any) -> Dict[str, Any]:
    system = answer.get("system") if isinstance(answer, dict) else None
    return system if isinstance(system, dict) else {}


def _first(card: Dict[str, Any], names: Iterable[str]) -> str:
    """The value under one of these names."""
    values = (str(card[name]) for name in names if card.get(name) not in (None, "N/A"))
    return next(values, "")


def _number(text: str) -> Optional[float]:
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def _mebibytes(card: Dict[str, Any], name: str) -> Optional[int]:
    amount = _number(_first(card, (name,)))
    return None if amount is None else int(amount / 2**20)
