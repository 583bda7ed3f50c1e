"""Programs that know a machine's GPUs: found, asked, and what of their answers is alike."""

from __future__ import annotations

import re
from typing import Tuple

from remote.agent.processes import PROC, user_name, which
from remote.errors import JobError
from remote.files import without_controls
from remote.job.messages.gpus import GpuProcess

#: How long one may take, in seconds. nvidia-smi without persistence mode wakes every card first.
TIMEOUT = 30.0


def is_present(program: str) -> bool:
    """Whether it is on the PATH."""
    return which(program) is not None


def rocm_uuid(serial: str, index: int) -> str:
    """What ROCm calls an AMD card: its unique number in hexadecimal; else a name that it doesn't know."""
    match = re.match(r"(?:0x)?([0-9a-fA-F]{1,16})\Z", serial)
    number = int(match[1], 16) if match else 0
    return f"GPU-{number:016x}" if number else f"card-{index}"


def process(pid: int, memory: int) -> GpuProcess:
    """One that computes, with its user and name as far as the system tells them."""
    folder = PROC / str(pid)
    try:
        user = user_name(folder.stat().st_uid)
        name = (folder / "comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        # It is hidden, or the pid is that of another namespace.
        user = name = ""
    return GpuProcess(pid, memory, user, plain(name))


def said(program: str, *options: str) -> str:
    """All that a program says; nothing where it finds no card. Raises JobError where it fails."""
    code, output = run(program, *options)
    if "No devices were found" in output:
        return ""
    if code:
        words = " ".join(output.split()) or f"it ended with {code}"
        raise JobError(f"{program} fails: {plain(words, 300)}", f"Run {program} on the server.")
    return output


def plain(text: str, limit: int = 64) -> str:
    """What strangers wrote, without control characters, which a terminal would obey."""
    return without_controls(text[:limit])


def run(program: str, *options: str) -> Tuple[int, str]:
    """Its exit code, and all that it says; raises JobError."""
    import subprocess

    try:
        process = subprocess.Popen(
            [program, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise JobError(f"{program} can't be started: {error.strerror}.") from error
    try:
        out, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise JobError(
            f"{program} did not answer within {TIMEOUT:.0f} seconds.",
            "The driver may hang; an administrator can tell by dmesg.",
        ) from None
    finally:
        # Not waited for: a process that hangs in the driver can't be killed.
        if process.returncode is None:
            process.kill()
    return process.returncode, out.decode("utf-8", "replace")
