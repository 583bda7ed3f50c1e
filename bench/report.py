"""The rows of the result, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.turns import Pairs, Side

HEADER = ("measurement", "ours", "theirs", "ratio", "bar")


@dataclass(frozen=True)
class Row:
    """One measurement. `bar` is what the ratio of ours to theirs should be at most.

    Without `pairs` it was skipped, and `what` says why. `unit` is that of the trials.
    """

    name: str
    what: str
    bar: float
    pairs: Pairs | None = None
    unit: str = "s"


def table(rows: Sequence[Row]) -> str:
    """Times are medians, with the fastest and the slowest trial beside them."""
    lines = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines)]
    joined = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in lines]
    return "\n".join(line.rstrip() for line in joined)


def notes(rows: Sequence[Row]) -> str:
    """What each row measured."""
    return "\n".join(f"{row.name}: {row.what}" for row in rows)


def _cells(row: Row) -> tuple[str, ...]:
    if row.pairs is None:
        return row.name, "skipped", "", "", _bar(row.bar)
    ours, theirs = (_side(side, row.unit) for side in (row.pairs.ours, row.pairs.theirs))
    return row.name, ours, theirs, _ratio(row.pairs.ratio, row.unit), _bar(row.bar)


def _side(side: Side, unit: str) -> str:
    if unit != "s":
        return f"{side.median:.3g} {unit}"
    if len(side.trials) == 1:
        return f"{side.median:.3f} s (one trial)"
    low, high = side.spread
    return f"{side.median:.3f} s ({low:.3f}-{high:.3f})"


def _ratio(ratio: float, unit: str) -> str:
    fast = unit == "s" and 0 < ratio < 0.1
    return f"{ratio:.4f} ({1 / ratio:.0f} times faster)" if fast else f"{ratio:.2f}"


def _bar(bar: float) -> str:
    return f"at most {bar:.3g}" + (f" ({1 / bar:.0f} times faster)" if bar < 0.1 else "")


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Every trial, and the machine they ran on."""
    value = {"machine": machine(), "measurements": [_plain(row) for row in rows]}
    path.write_text(json.dumps(value, indent=2) + "\n")


def _plain(row: Row) -> dict[str, object]:
    found: dict[str, object] = {"name": row.name, "what": row.what, "bar": row.bar}
    if row.pairs is None:
        return {**found, "skipped": True}
    ours, theirs = row.pairs.ours, row.pairs.theirs
    return {
        **found,
        "ratio": row.pairs.ratio,
        "unit": row.unit,
        "ours": {"median": ours.median, "trials": ours.trials},
        "theirs": {"median": theirs.median, "trials": theirs.trials},
    }


def machine() -> dict[str, object]:
    """What a reader of the figures must know of where they come from."""
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "rsync": _first_line("rsync", "--version"),
        "ssh": _first_line("ssh", "-V"),
        "tmux": _first_line("tmux", "-V"),
    }


def _first_line(*argv: str) -> str:
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError:
        return "missing"
    return (done.stdout.splitlines() or [""])[0].strip()
