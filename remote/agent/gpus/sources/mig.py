"""Cards that are divided into MIG devices, each of which a job can have: what nvidia-smi says of them.

Its XML (`nvidia-smi -q -x`) tells their memory and processes, its list (`nvidia-smi -L`) their names
and UUIDs; both number the devices of a card alike. The load of a device is told by neither.
docs.nvidia.com/datacenter/tesla/mig-user-guide. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: What the XML has where there may be any.
ENABLED = "<current_mig>Enabled"

#: How it ends, which is printed again and again.
END = "</nvidia_smi_log>"

_CARD = re.compile(r"GPU \d+: .*\(UUID: (GPU-[0-9a-fA-F-]+)\)")
_DEVICE = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[A-Za-z0-9-]+)\)")


class MigDevice(NamedTuple):
    """A part of a card. Memory in MiB; `processes` are pids, and the memory of each."""

    uuid: str
    number: int
    profile: str
    memory_total: Optional[int]
    memory_used: Optional[int]
    processes: Tuple[Tuple[int, int], ...]


class Listed(NamedTuple):
    """A line of nvidia-smi's list."""

    uuid: str
    profile: str


def listed(text: str) -> Dict[Tuple[str, int], Listed]:
    """The devices of `nvidia-smi -L`, by their card's UUID and their number.

    Drivers before 470 name them by no UUID; those are left out.
    """
    card, devices = "", {}
    for line in text.splitlines():
        match = _CARD.match(line)
        card = match[1] if match else card
        device = _DEVICE.match(line)
        if device and card:
            devices[card, int(device[2])] = Listed(device[3], device[1])
    return devices


def devices(log: str, names: Dict[Tuple[str, int], Listed]) -> Dict[str, List[MigDevice]]:
    """The devices of each card on which MIG is on, by its UUID, as the XML tells; raises ValueError."""
    from xml.etree import ElementTree

    try:
        # Warnings may stand before it.
        root = ElementTree.fromstring(log[log.index("<nvidia_smi_log") :])
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    cards = [
        card for card in root.iter("gpu") if card.findtext("mig_mode/current_mig") == "Enabled"
    ]
    return {_text(card, "uuid"): list(_of_card(card, names)) for card in cards}


def documents(lines: Iterable[str]) -> Iterator[str]:
    """Each XML of those that are printed one after the other."""
    log: List[str] = []
    for line in lines:
        log.append(line)
        if END in line:
            yield "".join(log)
            log = []


def _of_card(card: Element, names: Dict[Tuple[str, int], Listed]) -> Iterator[MigDevice]:
    for device in card.iter("mig_device"):
        number = _number(_text(device, "index"))
        name = names.get((_text(card, "uuid"), -1 if number is None else number))
        if name is None or number is None:
            continue
        instance = _instance(device)
        processes = (each for each in card.iter("process_info") if _instance(each) == instance)
        yield MigDevice(
            name.uuid,
            number,
            name.profile,
            _number(_text(device, "fb_memory_usage/total")),
            _number(_text(device, "fb_memory_usage/used")),
            tuple(filter(None, map(_process, processes))),
        )


def _process(process: Element) -> Optional[Tuple[int, int]]:
    pid = _number(_text(process, "pid"))
    return None if pid is None else (pid, _number(_text(process, "used_memory")) or 0)


def _instance(element: Element) -> Tuple[str, str]:
    return _text(element, "gpu_instance_id"), _text(element, "compute_instance_id")


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(text: str) -> Optional[int]:
    """`298 MiB`, or without a unit; None for `N/A`."""
    match = re.match(r"(\d+)(?: MiB)?\Z", text)
    return int(match[1]) if match else None
