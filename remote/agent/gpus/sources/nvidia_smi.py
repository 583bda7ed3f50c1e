"""NVIDIA's GPUs as nvidia-smi tells of them: their memory, their load, who uses them.

What can be asked, and in what words it answers: `nvidia-smi --help-query-gpu`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import mig, programs
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuProcess
from remote.job.status import UUID

PROGRAM = "nvidia-smi"

#: CUDA's own; it takes UUIDs: docs.nvidia.com/cuda/cuda-c-programming-guide, "Environment Variables".
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"

#: Milliseconds between two looks at what the cards do.
LOOK = 500

#: Seconds between two looks at MIG devices.
MIG_LOOK = 5

#: The name stands last, since it may hold any character.
_GPU = ("index", "uuid", "memory.total", "memory.used", "utilization.gpu", "driver_version", "name")

#: In the order of GpuSample.
_SAMPLE = (
    "uuid", "memory.used", "memory.total", "utilization.gpu", "power.draw", "power.limit",
    "temperature.gpu",
)  # fmt: skip
_UNKNOWN = ("[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]")


def is_present() -> bool:
    """Whether nvidia-smi, which comes with the driver, is on the PATH."""
    return programs.is_present(PROGRAM)


def gpus() -> List[Gpu]:
    """All GPUs, by nvidia-smi's index; raises JobError where it fails."""
    rows = _query("gpu", _GPU)
    processes = _processes() if rows else {}
    gpus = []
    for index, uuid, total, used, load, driver, name in rows:
        # nvidia-smi puts warnings between the rows, on the same stream.
        if UUID.fullmatch(uuid) and index.isdigit():
            gpu = Gpu(
                index=int(index),
                uuid=uuid,
                name=name,
                memory_total=_number(total),
                memory_used=_number(used),
                load=_number(load),
                driver=driver,
                processes=tuple(processes.get(uuid, ())),
                fault=_fault(total) or _fault(used),
            )
            gpus.append(gpu)
    if any(gpu.load is None for gpu in gpus):
        # That of a card with MIG devices isn't told, and to ask for these takes longer.
        gpus = list(_divided(gpus))
    return sorted(gpus, key=lambda gpu: gpu.index)


def _divided(gpus: Sequence[Gpu]) -> Iterator[Gpu]:
    """The same, with the MIG devices of cards in the place of these."""
    by_card = _mig_devices()
    for gpu in gpus:
        if by_card.get(gpu.uuid) == []:
            yield gpu.replace(fault="MIG is on, and there is no device that can be leased")
        elif gpu.uuid in by_card:
            yield from (_device_of(gpu, device) for device in by_card[gpu.uuid])
        else:
            yield gpu


def _device_of(gpu: Gpu, device: mig.MigDevice) -> Gpu:
    """A MIG device as a card: under the card's index, by which all of them are excluded."""
    return gpu.replace(
        uuid=device.uuid,
        name=f"{gpu.name} MIG {device.profile} ({gpu.index}:{device.number})",
        memory_total=device.memory_total,
        memory_used=device.memory_used,
        processes=tuple(programs.process(pid, memory) for pid, memory in device.processes),
        fault="",
    )


def _mig_devices() -> Dict[str, List[mig.MigDevice]]:
    log = programs.said(PROGRAM, "-q", "-x")
    if mig.ENABLED not in log:
        return {}
    try:
        return mig.devices(log, mig.listed(programs.said(PROGRAM, "-L")))
    except ValueError as error:
        raise JobError(
            f"nvidia-smi -q -x can't be read: {programs.plain(str(error), 300)}",
            "See what it prints on the server.",
        ) from None


def runtime_version() -> str:
    """The newest CUDA that the driver serves, such as `12.4`; empty where nobody tells."""
    try:
        _, text = programs.run(PROGRAM)
    except JobError:
        return ""
    # Drivers from 590 on call it the version of the user mode driver (UMD).
    match = re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d[\d.]*)", text)
    return match[1] if match else ""


def watch_command(uuids: Iterable[str]) -> List[str]:
    """nvidia-smi that tells what the cards do every LOOK milliseconds; of MIG devices its XML alone
    tells, which is much."""
    if any(uuid.startswith("MIG-") for uuid in uuids):
        return ["nvidia-smi", "-q", "-x", "-l", str(MIG_LOOK)]
    query = [f"--query-gpu={','.join(_SAMPLE)}", "--format=csv,noheader,nounits"]
    return ["nvidia-smi", *query, "-lms", str(LOOK)]


def samples(lines: Iterable[str]) -> Iterator[GpuSample]:
    """One card's row each, or XML; warnings are passed over."""
    lines = iter(lines)
    for line in lines:
        if line.startswith("<?xml"):
            yield from _mig_samples(itertools.chain([line], lines))
        uuid, *values = line.strip().split(", ")
        if UUID.fullmatch(uuid) and len(values) == len(_SAMPLE) - 1:
            yield GpuSample(uuid, *map(_amount, values))


def _mig_samples(lines: Iterable[str]) -> Iterator[GpuSample]:
    names: Dict[Tuple[str, int], mig.Listed] = {}
    for log in mig.documents(lines):
        with contextlib.suppress(JobError, ValueError):
            names = names or mig.listed(programs.said(PROGRAM, "-L"))
            for device in itertools.chain.from_iterable(mig.devices(log, names).values()):
                yield GpuSample(device.uuid, device.memory_used, device.memory_total)


def _processes() -> Dict[str, List[GpuProcess]]:
    """The processes that compute, by the UUID of their card."""
    processes: Dict[str, List[GpuProcess]] = {}
    for uuid, pid, memory in _query("compute-apps", ("gpu_uuid", "pid", "used_memory")):
        # Drivers of old cards have one row of "[Not Supported]", whether anything computes or not.
        if not pid.isdigit():
            continue
        processes.setdefault(uuid, []).append(programs.process(int(pid), _number(memory) or 0))
    return processes


def _number(text: str) -> Optional[int]:
    amount = _amount(text)
    return None if amount is None else int(amount)


def _amount(text: str) -> Optional[float]:
    with contextlib.suppress(ValueError):
        amount = float(text)
        return amount if math.isfinite(amount) else None
    return None


def _fault(text: str) -> str:
    """What stands in place of a number where the card has fallen off the bus or hangs."""
    return "" if text in _UNKNOWN or _number(text) is not None else text.strip("[]")


def _query(what: str, fields: Tuple[str, ...]) -> List[List[str]]:
    """The rows of one of nvidia-smi's queries; raises JobError."""
    output = programs.said(
        PROGRAM, f"--query-{what}={','.join(fields)}", "--format=csv,noheader,nounits"
    )
    rows = [line.split(", ", len(fields) - 1) for line in output.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if len(row) == len(fields)]
