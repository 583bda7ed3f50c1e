"""The history of a metric: lines `timestamp value step`, in old stores without the step.

A line with a dataset has its name and digest behind the step. Read in blocks, and a block at once:
lines of one shape are split and converted by the column, several times as fast as line by line.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from math import isfinite, isnan
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from remote.tracking.filestore.layout import Unreadable, open_file

BLOCK = 1 << 20

#: All bytes but those that part words, and the ends of lines.
_NO_SPACE = bytes(byte for byte in range(256) if not chr(byte).isspace())


class Points(NamedTuple):
    """Some points of a metric, by the column, as the database store keeps them.

    `nans` are 0 or 1, None where no value is NaN.
    """

    times: Sequence[int]
    values: Sequence[float]
    steps: Sequence[int]
    nans: Optional[Sequence[int]]

    def latest(self) -> Tuple[int, int, float, int]:
        """(step, timestamp, value, is NaN) of the greatest; the first of equal ones."""
        # Of equal points, the one with the smallest position has the greatest negative one.
        step, time, value, negative = max(zip(self.steps, self.times, self.values, count(0, -1)))
        return step, time, value, self.nans[-negative] if self.nans else 0


@dataclass
class History:
    """Reads one metric file; afterwards `latest` is set, and `bad` is the number of other lines.

    A last line without its end is half written and comes the next time, unless the run `is_over`.
    """

    path: str
    is_over: bool
    latest: Optional[Tuple[int, int, float, int]] = None
    bad: int = 0

    def __iter__(self) -> Iterator[Points]:
        """Raises Unreadable and OSError."""
        for block in _blocks(self.path, self.is_over):
            points = _by_column(block)
            if points is None:
                points, bad = _by_line(block)
                self.bad += bad
            if points.steps:
                newest = points.latest()
                if self.latest is None or newest[:3] > self.latest[:3]:
                    self.latest = newest
                yield points


def _blocks(path: str, is_over: bool) -> Iterator[bytes]:
    """Whole lines, about a megabyte at a time."""
    descriptor = open_file(path)
    try:
        rest = b""
        while True:
            data = os.read(descriptor, BLOCK)
            if not data:
                break
            lines, end, begun = data.rpartition(b"\n")
            if end:
                yield rest + lines + end
            rest = begun if end else rest + begun
            if len(rest) > BLOCK:
                raise Unreadable("it has a line of more than a megabyte")
        if rest and is_over and len(rest.split()) > 1:
            yield rest + b"\n"
    finally:
        os.close(descriptor)


def _by_column(block: bytes) -> Optional[Points]:
    """None unless each line is exactly two numbers around a value."""
    lines = block.count(b"\n")
    if block.translate(None, _NO_SPACE) != b"  \n" * lines:
        return None
    try:
        parts = block.decode("ascii").split()
        if len(parts) != 3 * lines:
            return None
        times, steps = list(map(int, parts[0::3])), list(map(int, parts[2::3]))
        values = list(map(float, parts[1::3]))
    except ValueError:
        return None
    if not all(map(fits, (min(times), max(times), min(steps), max(steps)))):
        return None
    return _points(times, values, steps)


def _by_line(block: bytes) -> Tuple[Points, int]:
    """And the number of lines that are no points."""
    lines = block.splitlines()
    points = []
    for line in lines:
        try:
            points.append(point_of(line.decode("utf-8").strip().split(" ")))
        except ValueError:
            continue
    times, values, steps = map(list, zip(*points)) if points else ([], [], [])
    return _points(times, values, steps), len(lines) - len(points)


def point_of(fields: Sequence[str]) -> Tuple[int, float, int]:
    """(timestamp, value, step) of a line's fields; raises ValueError."""
    written, value, *more = fields
    time, step = int(written), int(more[0]) if more else 0
    if not (fits(time) and fits(step)):
        raise ValueError("more than 64 bits")
    return time, float(value), step


def _points(times: List[int], values: List[float], steps: List[int]) -> Points:
    if all(map(isfinite, values)):
        return Points(times, values, steps, None)
    return Points(times, list(map(finite, values)), steps, list(map(int, map(isnan, values))))


def fits(number: int) -> bool:
    """True for what SQLite's integers hold."""
    return -(2**63) <= number < 2**63


def finite(value: float) -> float:
    """As MLflow's database store keeps values: 0 for NaN, the greatest numbers for infinity."""
    if isnan(value):
        return 0.0
    return min(max(value, -1.7976931348623157e308), 1.7976931348623157e308)
