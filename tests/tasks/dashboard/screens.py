"""What a dashboard shows, read from its screen."""

from __future__ import annotations

import html
import re
from collections import defaultdict

from textual.app import App

_TEXT = re.compile(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL)


def lines_of(app: App[None]) -> list[str]:
    """The lines of the screen, each with one blank between what stands apart."""
    rows: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for x, y, text in _TEXT.findall(app.export_screenshot()):
        rows[float(y)].append((float(x), html.unescape(text).replace("\xa0", " ")))
    whole = ("".join(text for _, text in sorted(row)) for _, row in sorted(rows.items()))
    return [" ".join(line.split()) for line in whole]


def text_of(app: App[None]) -> str:
    return "\n".join(lines_of(app))
