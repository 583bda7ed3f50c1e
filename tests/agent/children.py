"""Which children of a process live."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> str:
    """The living children of a process, by the kernel's own list."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return " ".join(each for each in found if not is_dead(int(each)))


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True
