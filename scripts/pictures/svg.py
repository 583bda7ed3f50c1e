"""What a terminal showed as SVG: light, dark, or as its reader's system is, and moving where it moved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from scripts.pictures.terminal import Frame

#: Of a character and a line, in pixels.
WIDTH, HEIGHT, SIZE = 8.0, 18.0, 13.3
MARGIN, BAR = 14.0, 30.0

#: The sixteen colours of a terminal by number, for light and for dark.
COLOURS = {
    0: ("#24292f", "#6e7681"), 1: ("#b3202a", "#ff7b72"), 2: ("#116329", "#56d364"),
    3: ("#7a4e00", "#e3b341"), 4: ("#0550ae", "#79c0ff"), 5: ("#8250df", "#d2a8ff"),
    6: ("#1b7c83", "#56d4dd"), 7: ("#57606a", "#c9d1d9"), 8: ("#6e7781", "#8b949e"),
    9: ("#cf222e", "#ffa198"), 10: ("#1a7f37", "#7ee787"), 11: ("#9a6700", "#f2cc60"),
    12: ("#0969da", "#a5d6ff"), 13: ("#a475f9", "#e2c5ff"), 14: ("#3192aa", "#b3f0ff"),
    15: ("#24292f", "#f0f6fc"),
}  # fmt: skip
PAPER, INK, FRAME = ("#ffffff", "#0d1117"), ("#24292f", "#e6edf3"), ("#d0d7de", "#30363d")


#: Variants of a picture, for a page that chooses between them: a code host's own switch isn't the
#: system's, which is what an SVG alone can ask for.
MODES = ("light", "dark")


def picture(
    frames: Sequence[Frame], length: float, columns: int, title: str, mode: str = ""
) -> str:
    """An SVG of `length` seconds, repeated for ever; of one frame a still.

    Without a `mode` of MODES it follows the reader's system.
    """
    rows = max(_height(frame) for frame in frames)
    width = columns * WIDTH + 2 * MARGIN
    height = rows * HEIGHT + 2 * MARGIN + BAR
    body = "".join(_line(*stay, length) for stay in _stays(frames, rows, length))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' role="img" aria-label="{escape(title)}" font-size="{SIZE}"'
        ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace">'
        f"<style>{style(mode)}</style>"
        f'<rect class="p" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>'
        f'<circle cx="20" cy="19" r="5"/><circle cx="38" cy="19" r="5"/><circle cx="56" cy="19" r="5"/>'
        f'<text class="t" x="{width / 2:g}" y="23" text-anchor="middle">{escape(title)}</text>'
        f'<g transform="translate({MARGIN:g} {MARGIN + BAR:g})">{body}</g></svg>\n'
    )


def _height(frame: Frame) -> int:
    filled = [number for number, line in enumerate(frame.lines, 1) if line.strip()]
    return filled[-1] if filled else 1


def _stays(
    frames: Sequence[Frame], rows: int, length: float
) -> Iterator[tuple[int, str, float, float]]:
    """Each line that stood in a row for a time: row, line, from, until."""
    for row in range(rows):
        since, shown = 0.0, ""
        for frame in frames:
            line = frame.lines[row] if row < len(frame.lines) else ""
            if line != shown:
                if shown.strip():
                    yield row, shown, since, frame.start
                since, shown = frame.start, line
        if shown.strip():
            yield row, shown, since, length


def _line(row: int, line: str, start: float, end: float, length: float) -> str:
    pieces = "".join(_pieces(line, row * HEIGHT))
    if start <= 0 and end >= length:
        return f"<g>{pieces}</g>"
    times = {0.0: "hidden", start / length: "visible", end / length: "hidden"}
    if start <= 0:
        times[0.0] = "visible"
    # What doesn't play shows the end.
    still = "visible" if end >= length else "hidden"
    values, keys = ";".join(times.values()), ";".join(f"{at:.4g}" for at in times)
    return (
        f'<g visibility="{still}">{pieces}<animate attributeName="visibility" values="{values}"'
        f' keyTimes="{keys}" calcMode="discrete" dur="{length:.2f}s" repeatCount="indefinite"/></g>'
    )


def _pieces(line: str, y: float) -> Iterator[str]:
    column = 0
    for segment in Text.from_ansi(line.rstrip()).render(Console(width=400)):
        style = segment.style or Style()
        cells = Segment(segment.text).cell_length
        x, wide = column * WIDTH, cells * WIDTH
        column += cells
        ink = _colour(style, style.color)
        # Greys that are read as letters hide them as paper.
        paper = re.sub('"c[078]"', '"b"', _colour(style, style.bgcolor))
        if style.reverse:
            ink, paper = paper or 'class="v"', ink or 'class="i"'
        if paper:
            yield f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{HEIGHT:g}" {paper}/>'
        if segment.text.strip():
            weight = ' font-weight="bold"' if style.bold else ""
            faint = ' opacity=".65"' if style.dim else ""
            yield (
                f'<text x="{x:g}" y="{y + HEIGHT * 0.75:g}" textLength="{wide:g}" {ink}{weight}{faint}'
                f' xml:space="preserve">{escape(_printable(segment.text))}</text>'
            )


def _colour(style: Style, colour: object) -> str:
    number, triplet = getattr(colour, "number", None), getattr(colour, "triplet", None)
    if triplet:
        return f'style="fill:{triplet.hex}"'
    if number is not None and number < 16:
        return f'class="c{number}"'
    if number is not None:
        return f'style="fill:{colour.get_truecolor().hex}"'  # type: ignore[attr-defined]
    return ""


def _printable(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)


def style(mode: str) -> str:
    """The style sheet of a mode; both, where there is none."""
    if mode:
        return _rules(MODES.index(mode))
    return f"{_rules(0)}@media(prefers-color-scheme:dark){{{_rules(1)}}}"


def _rules(mode: int) -> str:
    colours = "".join(f".c{number}{{fill:{pair[mode]}}}" for number, pair in COLOURS.items())
    return (
        f"text,.i{{fill:{INK[mode]}}}.v{{fill:{PAPER[mode]}}}"
        f".p{{fill:{PAPER[mode]};stroke:{FRAME[mode]}}}circle{{fill:{FRAME[mode]}}}"
        f".t{{fill:{COLOURS[8][mode]}}}.b{{fill:{FRAME[mode]}}}{colours}"
    )
