"""Bars, curves and columns, as text that fits a width. What servers say is escaped first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from remote.output import fitted_widths, printable

_BLOCKS = "▁▂▃▄▅▆▇█"


def plain(text: str, style: str = "") -> Text:
    """Text as it stands, on one line: no markup, and nothing that steers a terminal."""
    return Text(printable(text), style)


def bar(share: float, width: int, style: str) -> Text:
    """A bar for a share between 0 and 1."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble(("█" * full, style), ("░" * (width - full), "dim"))


def curve(values: Sequence[float], width: int) -> str:
    """The last `width` values, each a block between the smallest and the greatest of them."""
    last = values[-width:]
    if not last:
        return ""
    # Halved: the difference of the two greatest numbers would be infinite.
    low, high = min(last) / 2, max(last) / 2
    steps = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[min(round((value / 2 - low) * steps), 7)] for value in last)


def fitted(rows: Sequence[Sequence[Text]], room: int, *, first: str = "") -> list[Text]:
    """A line for each row, the header first; where `room` is too narrow, the column called `first`
    gives way, then the others from the last one on."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows)]
    shrink = sorted(range(len(widths)), reverse=True)
    shrink.sort(key=lambda place: rows[0][place].plain != first)
    widths = [max(width, 0) for width in fitted_widths(widths, room, shrink)]
    lines = []
    for row in rows:
        cells = [cell.copy() for cell, width in zip(row, widths) if width]
        for cell, width in zip(cells, filter(None, widths)):
            cell.truncate(width, overflow="ellipsis", pad=True)
        lines.append(Text("  ", no_wrap=True).join(cells))
    return lines
