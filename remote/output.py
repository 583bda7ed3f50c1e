"""A progress line on a terminal; nothing where standard error is none."""

from __future__ import annotations

import re
import shutil
import sys
import time

_RSYNC = re.compile(r"^\s*([\d,.]+)\s+(\d+)%\s+(\S+/s)")
_BAR = 24


class Progress:
    """One line that is drawn over and wiped at the end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown = sys.stderr.isatty()
        self._drawn = 0.0
        self._tells = False

    def rsync(self, line: str) -> bool:
        """Show one line of rsync's progress; False where it is none."""
        match = _RSYNC.match(line)
        if match:
            self._tells = True
            count = int(re.sub(r"\D", "", match[1]))
            self.draw(int(match[2]) / 100, f"{size(count)}, {match[3]}")
        return bool(match)

    def count(self, files: int) -> None:
        """Show how many files went, unless rsync tells its progress itself."""
        if not self._tells:
            self._write(f"{self.title} {files} files")

    def amount(self, text: str) -> None:
        """Show how much came, where nobody knows how much it will be."""
        self._write(f"{self.title} {text}")

    def of(self, done: int, total: int) -> None:
        """Draw the bar for `done` things of `total`."""
        self.draw(done / max(total, 1), f"{done} of {total}")

    def draw(self, share: float, text: str) -> None:
        """Draw the bar. `share` is between 0 and 1."""
        full = int(share * _BAR)
        self._write(f"{self.title} [{'#' * full}{'.' * (_BAR - full)}] {share:4.0%} {text}")

    def _write(self, line: str) -> None:
        """Draw over the line, ten times a second at most."""
        if not self.shown or time.monotonic() - self._drawn < 0.1:
            return
        self._drawn = time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r" + line[:width].ljust(width))
        sys.stderr.flush()

    def wipe(self) -> None:
        """Take the line off the terminal again."""
        if self._drawn:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    amount = float(count)
    for unit, limit in (("B", 1000), ("kB", 999.95), ("MB", 999.95), ("GB", 0)):
        if amount < limit or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")
