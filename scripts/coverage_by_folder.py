"""`make coverage`: what share of remote/'s statements the tests ran, by folder.

Reads the measurements that lie here (`coverage run -m pytest …`). Code on a private server or in a
job's own environment isn't measured there: a folder's figure says at least so much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).parent.parent


def lines(counts: Iterable[tuple[str, int, int]]) -> list[str]:
    """Of (path below remote/, statements, missed ones): one line a folder, then the whole."""
    total: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, statements, missed in counts:
        for name in (Path("remote", path).parent.as_posix() + "/", "all"):
            total[name][0] += statements
            total[name][1] += missed
    ordered = sorted(total.items(), key=lambda item: (item[0] == "all", item[0]))
    return [f"{name:32}{_share(*counts)}" for name, counts in ordered]


def _share(statements: int, missed: int) -> str:
    share = 100.0 * (statements - missed) / statements if statements else 100.0
    return f"{statements:6} statements {share:6.1f} %"


def measured() -> Iterable[tuple[str, int, int]]:
    """What coverage.py noted, of every file of remote/, also of those that no test imports."""
    coverage = Coverage()
    coverage.combine(strict=False)
    coverage.load()
    for path in sorted((ROOT / "remote").rglob("*.py")):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        yield str(path.relative_to(ROOT / "remote")), len(statements), len(missing)


if __name__ == "__main__":
    print("\n".join(lines(measured())))
