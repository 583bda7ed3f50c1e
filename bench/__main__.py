"""`python -m bench [NAME ...] [--runs N] [--quick] [--json FILE]`.

The exit code is 1 where something failed to run. How fast it ran never changes it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import (  # fmt: skip
    far,
    growth,
    job,
    large,
    listing,
    many,
    minute,
    push,
    records,
    sampling,
    servers,
    slurm,
    top,
    waiting,
    watch,
)
from bench.report import Row, machine, notes, table, write_json
from bench.stage import Failed, Stage, stage

MEASUREMENTS: dict[str, Callable[[Stage], Iterator[Row]]] = {
    "push": push.measure,
    "watch": watch.measure,
    "far": far.measure,
    "job": job.measure,
    "slurm": slurm.measure,
    "list": listing.measure,
    "top": top.measure,
    "many": many.measure,
    "waiting": waiting.measure,
    "minute": minute.measure,
    "sampling": sampling.measure,
    "records": records.measure,
    "servers": servers.measure,
    "growth": growth.measure,
    "large": large.measure,
}


def main() -> int:
    """Measure what was asked for, and print it."""
    asked = _arguments()
    # Installed programs are measured, which don't compile what they import at each start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # What was started is ended also when we are asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    failed = False
    with stage(quick=asked.quick, runs=asked.runs) as scene:
        for name in asked.names or MEASUREMENTS:
            failed = not _measure(name, scene, rows) or failed
    here = machine()
    print(f"{table(rows)}\n")
    print("Times are medians (fastest-slowest); the ratio is the median of ours/theirs in pairs.")
    print(f"{notes(rows)}\non {here['cores']} cores, load {here['load']:.1f}, {here['rsync']}")
    if asked.json:
        write_json(asked.json, rows)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    choices = ", ".join(MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{choices}; default: all")
    parser.add_argument("--runs", type=int, default=0, help="counted trials of each side")
    parser.add_argument("--quick", action="store_true", help="small inputs, three trials")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every trial there")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in MEASUREMENTS:
            parser.error(f"no measurement is called {name!r}; there are {choices}")
    if asked.runs < 0:
        parser.error("--runs can't be negative")
    return asked


def _measure(name: str, scene: Stage, rows: list[Row]) -> bool:
    """Add the rows of one measurement; False where it failed."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    try:
        for row in MEASUREMENTS[name](scene):
            rows.append(row)
            print(table([row]).splitlines()[1], file=sys.stderr, flush=True)
    except Failed as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return False
    except Exception:
        traceback.print_exc()
        print(f"{name} failed", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
