"""Small notebooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from remote.programs import notebook
from remote.programs.notebook import Notebook


def cell(source: Any, *tags: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}


def document(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


def read(folder: Path, *cells: dict[str, Any], **metadata: Any) -> Notebook:
    path = folder / "a.ipynb"
    path.write_text(json.dumps(document(*cells, **metadata)), "utf-8")
    return notebook.read(path, folder)
