"""The block between two comment lines, at the end of a file of the project's, that is ours."""

from __future__ import annotations

from collections.abc import Iterable

from remote.adopt.change import ManualStep, append

BEGIN = "# >>> remote-gpu-workflow >>>"
END = "# <<< remote-gpu-workflow <<<"


def outside(text: str) -> str:
    """All of a text but its block; raises ManualStep."""
    first, last = _span(text)
    lines = text.splitlines(keepends=True)
    return "".join(lines[:first] + lines[last:])


def replace(text: str, block: Iterable[str]) -> str:
    """`text` with these lines as its block, where it was, else at the end; raises ManualStep."""
    first, last = _span(text)
    lines = text.splitlines(keepends=True)
    before, after = "".join(lines[:first]), "".join(lines[last:])
    needs_gap = first == last and before.strip() and not before.endswith(("\n\n", "\r\n\r\n"))
    return append(before, [*([""] if needs_gap else []), BEGIN, *block, END]) + after


def _span(text: str) -> tuple[int, int]:
    """The block's lines: from, and up to; both at the end where there is none."""
    lines = [line.strip() for line in text.splitlines()]
    begins = [number for number, line in enumerate(lines) if line == BEGIN]
    ends = [number for number, line in enumerate(lines) if line == END]
    if not begins and not ends:
        return len(lines), len(lines)
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ManualStep(f"the lines {BEGIN} and {END} must stand in it once each, in that order")
    return begins[0], ends[0] + 1
