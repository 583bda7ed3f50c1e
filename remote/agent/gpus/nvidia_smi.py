"""The GPUs of this machine as nvidia-smi tells of them: their memory, their load, who uses them.

GPUs are named by UUID everywhere: nvidia-smi's order is not CUDA's.
"""

from __future__ import annotations

import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from remote.errors import JobError

#: How long nvidia-smi may take, in seconds. Without persistence mode it wakes every card first.
TIMEOUT = 30.0

PROC = Path("/proc")
UUID = re.compile(r"[A-Za-z0-9-]+\Z")

#: The name stands last, since it may hold any character.
_GPU = ("index", "uuid", "memory.total", "memory.used", "utilization.gpu", "driver_version", "name")
_PROCESS = ("gpu_uuid", "pid", "used_memory")
_UNKNOWN = ("[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]")


@dataclass(frozen=True)
class Process:
    """A process that computes on a GPU. What can't be told is empty, or 0."""

    pid: int
    memory: int
    user: str
    name: str


@dataclass(frozen=True)
class Gpu:
    """One card. Memory in MiB, load in percent; `fault` is nvidia-smi's word for a broken card."""

    index: int
    uuid: str
    name: str
    memory_total: int
    memory_used: int
    load: Optional[int]
    driver: str
    processes: Tuple[Process, ...] = ()
    fault: str = ""

    @property
    def memory_free(self) -> int:
        return self.memory_total - self.memory_used


def read() -> List[Gpu]:
    """All GPUs, by nvidia-smi's index; none where there is no nvidia-smi; raises JobError."""
    if shutil.which("nvidia-smi") is None:
        return []
    rows = _query("gpu", _GPU)
    if not rows:
        return []
    processes = _processes()
    found = [_gpu(row, processes) for row in rows if UUID.match(row[1]) and row[0].isdigit()]
    return sorted(found, key=lambda gpu: gpu.index)


def cuda_version() -> str:
    """The newest CUDA that the driver serves, such as `12.4`; empty where nobody tells."""
    try:
        text = _run(["nvidia-smi"]).words
    except (OSError, JobError):
        return ""
    found = re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d[\d.]*)", text)
    return found.group(1) if found else ""


def user_name(uid: int) -> str:
    """The name of an account; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def plain(text: str, limit: int = 64) -> str:
    """A stranger's text for a line of ours: no control characters, not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])


def _processes() -> Dict[str, List[Process]]:
    found: Dict[str, List[Process]] = {}
    for uuid, pid, memory in _query("compute-apps", _PROCESS):
        found.setdefault(uuid, []).append(_process(_number(pid) or 0, _number(memory) or 0))
    return found


def _process(pid: int, memory: int) -> Process:
    """/proc knows whose it is, unless it is hidden or the pid is that of another namespace."""
    folder = PROC / str(pid)
    try:
        user = user_name(folder.stat().st_uid)
        name = (folder / "comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        user = name = ""
    return Process(pid, memory, user, plain(name))


def _gpu(row: List[str], processes: Dict[str, List[Process]]) -> Gpu:
    index, uuid, total, used, load, driver, name = row
    return Gpu(
        index=int(index),
        uuid=uuid,
        name=name,
        memory_total=_number(total) or 0,
        memory_used=_number(used) or 0,
        load=_number(load),
        driver=driver,
        processes=tuple(processes.get(uuid, ())),
        fault=_fault(total) or _fault(used),
    )


def _number(text: str) -> Optional[int]:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None


def _fault(text: str) -> str:
    """What stands in place of a number where the card has fallen off the bus or hangs."""
    return "" if text in _UNKNOWN or _number(text) is not None else text.strip("[]")


def _query(what: str, fields: Tuple[str, ...]) -> List[List[str]]:
    """The rows of one of nvidia-smi's queries; raises JobError."""
    query = f"--query-{what}={','.join(fields)}"
    done = _run(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    if "No devices were found" in done.words:
        return []
    if done.code:
        said = " ".join(done.words.split()) or f"it ended with {done.code}"
        raise JobError(f"nvidia-smi fails: {plain(said, 300)}", "Run nvidia-smi there.")
    rows = [line.split(", ", len(fields) - 1) for line in done.words.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if len(row) == len(fields)]


class _Done(NamedTuple):
    code: int
    words: str


def _run(argv: List[str]) -> _Done:
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise JobError(f"nvidia-smi can't be started: {error.strerror}.") from error
    try:
        out, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise JobError(
            f"nvidia-smi did not answer within {TIMEOUT:.0f} seconds.",
            "The driver may hang; an administrator can tell: dmesg | grep -i nvrm",
        ) from None
    finally:
        # Not waited for: a process that hangs in the driver can't be killed.
        if process.returncode is None:
            process.kill()
    return _Done(process.returncode, out.decode("utf-8", "replace"))
