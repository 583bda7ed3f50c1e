"""The block between two comment lines that holds what is ours in a file of the project's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remote.adopt.part import ByHand, appended

BEGIN = "# >>> remote-gpu-workflow >>>"
END = "# <<< remote-gpu-workflow <<<"


def around(text: str) -> str:
    """All of a text but its block; raises ByHand."""
    first, last = _place(text)
    lines = text.splitlines(keepends=True)
    return "".join(lines[:first] + lines[last:])


def inside(text: str) -> list[str]:
    """The lines of the block, none where there is no block; raises ByHand."""
    first, last = _place(text)
    return text.splitlines()[first + 1 : max(last - 1, first + 1)]


def put(text: str, lines: Iterable[str]) -> str:
    """`text` with these lines as its block, where it was, else at the end; raises ByHand."""
    first, last = _place(text)
    whole = text.splitlines(keepends=True)
    before = "".join(whole[:first])
    gap = [""] if first == last and before.strip() and not _ends_open(before) else []
    after = "".join(whole[last:])
    return appended(before, [*gap, BEGIN, *lines, END]) + after


def _place(text: str) -> Sequence[int]:
    """The block's lines: from, and up to; both at the end where there is none."""
    lines = [line.strip() for line in text.splitlines()]
    begins = [number for number, line in enumerate(lines) if line == BEGIN]
    ends = [number for number, line in enumerate(lines) if line == END]
    if not begins and not ends:
        return len(lines), len(lines)
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise ByHand(f"the lines {BEGIN} and {END} have to stand in it once each, in that order")
    return begins[0], ends[0] + 1


def _ends_open(text: str) -> bool:
    """Whether an empty line is at the end already."""
    return text.endswith(("\n\n", "\r\n\r\n"))
