"""Notebooks for the measurements."""

from __future__ import annotations

import json
from pathlib import Path


def write_notebook(path: Path, parameters: str, *cells: str) -> None:
    """A notebook whose first cell is tagged `parameters`."""
    made = [_cell(0, parameters, ["parameters"])]
    made += [_cell(number, source, []) for number, source in enumerate(cells, 1)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    text = json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _cell(number: int, source: str, tags: list[str]) -> dict[str, object]:
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": f"cell-{number}",
        "outputs": [],
    }
    return {**cell, "metadata": {"tags": tags}, "source": source}
