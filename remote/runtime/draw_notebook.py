"""What MLflow's view of artifacts can show of a job's executed notebook: a page, and its figures.

The notebook holds whatever the job's code has put there, so this is a process of its own with little
memory and time. What is too much for it is left out, and the notebook itself still has it.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional

from remote.files import size, write_atomic
from remote.job.paths import JobPaths

#: Bytes of memory, and seconds of a processor.
MEMORY, SECONDS = 4 << 30, 60

#: Bytes of a notebook that is looked at, of all its figures together, and how many there may be.
LONGEST, FIGURES, MANY = 256 << 20, 100 << 20, 100

#: Letters in the page: of one output's text, of a picture or table, of all outputs together.
TEXT, PICTURE, PAGE = 100_000, 10 << 20, 30 << 20

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}


class Figure(NamedTuple):
    """A picture that a cell has shown."""

    name: str
    content: bytes


def main() -> None:
    """`draw <job folder>`: write the figures, and the page where the environment has nbconvert."""
    folder = Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    draw(JobPaths(folder.parent.parent.parent, folder.name))


def draw(paths: JobPaths) -> None:
    """Write what can be shown of the job's notebook beside it."""
    length = paths.notebook.stat().st_size
    if length > LONGEST:
        sys.exit(f"the notebook has {size(length)}")
    notebook = json.loads(paths.notebook.read_bytes())
    for figure in _bounded(figures(notebook)):
        paths.figures.mkdir(exist_ok=True)
        write_atomic(paths.figures / figure.name, figure.content)
    text = page(notebook, paths.id)
    if text:
        write_atomic(paths.page, text.encode("utf-8", "replace"))


def _bounded(pictures: Iterator[Figure]) -> Iterator[Figure]:
    left = FIGURES
    for _, figure in zip(range(MANY), pictures):
        left -= len(figure.content)
        if left < 0:
            return
        yield figure


def figures(notebook: Dict[str, Any]) -> Iterator[Figure]:
    """The pictures of its code cells, in their order: `cell-3-1.png` is the first that the page shows
    below [3]."""
    for cell in notebook["cells"]:
        count, number = cell.get("execution_count"), 0
        for output in cell.get("outputs", ()) if type(count) is int else ():
            data = output.get("data", {})
            kind = next((kind for kind in SUFFIXES if data.get(kind)), None)
            if kind:
                number += 1
                content = base64.b64decode(_text(data[kind]))
                yield Figure(f"cell-{count}-{number}{SUFFIXES[kind]}", content)


def page(notebook: Dict[str, Any], title: str) -> Optional[str]:
    """The notebook in HTML, all in one file; None where the environment has nothing to make it."""
    try:
        import nbformat
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    left = PAGE
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            for number, output in enumerate(cell["outputs"]):
                cell["outputs"][number] = _shortened(output, left)
                left = max(0, left - len(json.dumps(cell["outputs"][number])))
    document = nbformat.reads(json.dumps(notebook), as_version=4)
    text, _ = HTMLExporter().from_notebook_node(document, {"metadata": {"name": title}})
    return str(text)


def _shortened(output: Dict[str, Any], left: int) -> Dict[str, Any]:
    """An output as the page has it, where so many letters are left for it and all after it."""
    longest = min(TEXT, left)
    if output["output_type"] == "stream":
        return {**output, "text": _cut(_text(output["text"]), longest)}
    if output["output_type"] == "error":
        return {**output, "traceback": [_cut("\n".join(output["traceback"]), longest)]}
    # Of the forms of an object, nbconvert shows the richest one that is there.
    data = output["data"]
    kept = {kind: data[kind] for kind in data if len(json.dumps(data[kind])) < min(PICTURE, left)}
    return {
        **output,
        "data": {**kept, "text/plain": _cut(_text(data.get("text/plain", "")), longest)},
    }


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n[the notebook has {len(text) - longest} letters more]"


def _text(lines: Any) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
