"""What a dashboard shows, read from its screen."""

from __future__ import annotations

import html
import re
from collections import defaultdict

from textual.app import App

_TEXT = re.compile(
    r'<text [^>]*?x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL
)


def lines_of(app: App[None]) -> list[str]:
    """The lines of the screen, each with one blank between what stands apart."""
    rows: dict[float, list[tuple[float, float, str]]] = defaultdict(list)
    for x, y, length, text in _TEXT.findall(app.export_screenshot()):
        rows[float(y)].append((float(x), float(length), html.unescape(text)))
    return [_line(sorted(row)) for _, row in sorted(rows.items())]


def _line(pieces: list[tuple[float, float, str]]) -> str:
    line, end = "", 0.0
    for x, length, text in pieces:
        line += (" " if x > end + 1 else "") + text.replace("\xa0", " ")
        end = x + length
    return " ".join(line.split())


def text_of(app: App[None]) -> str:
    return "\n".join(lines_of(app))
