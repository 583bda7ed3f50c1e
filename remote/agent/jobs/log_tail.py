"""The last lines of a log, as a terminal shows them."""

from __future__ import annotations

from typing import IO, Iterator, List, Sequence, Tuple

#: Bytes of a log that are read at once.
BLOCK = 1 << 16


def tail(file: IO[bytes], lines: int) -> List[Tuple[int, int]]:
    """The parts of the file that are its last lines: offsets of begin and end, in order.

    What a line writes over by a carriage return is left out: of a progress bar that was drawn a
    million times, the last drawing is what a terminal shows.
    """
    end = file.seek(0, 2)
    parts = [(end, end)]
    line_ends, seen, blank, hidden = 0, False, True, False
    for start, piece, ended in _backwards(file, end):
        if ended:
            # Empty lines at the end of the log are part of its last line.
            line_ends += seen
            if line_ends == lines:
                break
            blank, hidden = True, False
        seen = seen or bool(piece)
        if not hidden:
            drawn = piece.rstrip(b"\r") if blank else piece
            cut = drawn.rfind(b"\r") + 1
            blank, hidden = blank and not drawn, cut > 0
            stop = start + len(piece) + ended
            later = parts.pop() if parts[-1][0] == stop else (stop, stop)
            parts.append((start + cut, later[1]))
    return parts[::-1]


def _backwards(file: IO[bytes], position: int) -> Iterator[Tuple[int, bytes, bool]]:
    """The pieces of lines before `position`, the last first: offset, bytes, whether a line end
    follows."""
    while position:
        step = min(BLOCK, position)
        file.seek(position - step)
        lines = file.read(step).split(b"\n")
        for number, line in enumerate(reversed(lines)):
            position -= len(line) + (number > 0)
            yield position, line, number > 0


def pieces(file: IO[bytes], parts: Sequence[Tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of the parts, then what follows the last one: nothing as long as nothing comes."""
    for begin, end in parts:
        file.seek(begin)
        while file.tell() < end:
            yield file.read(min(BLOCK, end - file.tell()))
    while True:
        yield file.read(BLOCK)
