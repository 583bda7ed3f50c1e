"""What a project's code imports that is neither Python's own nor the project's."""

from __future__ import annotations

import ast
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

#: Files that are read, and their largest size in bytes: it is a hint, which must not take long.
FILES = 500
LARGEST = 1 << 20


def imported_packages(root: Path) -> list[str]:
    """The names at the beginning of imports in the root and the folders right below it."""
    names: set[str] = set()
    patterns = ("*.py", "*/*.py", "*.ipynb", "*/*.ipynb")
    files = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    own = {path.stem for path in files} | {path.name for path in root.glob("*/") if path.is_dir()}
    for path in files[:FILES]:
        if path.name != "tasks.py" and not path.relative_to(root).parts[0].startswith("."):
            names.update(_imports(path))
    return sorted(names - own - set(sys.stdlib_module_names) - {"remote"}, key=str.lower)


def _imports(path: Path) -> Iterator[str]:
    """Of a file that can be read; of a notebook, from the cells that are Python and nothing else."""
    try:
        text = path.read_text("utf-8") if path.stat().st_size <= LARGEST else ""
        sources = _cells(text) if path.suffix == ".ipynb" else [text]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return
    for source in sources:
        try:
            with warnings.catch_warnings():
                # Of invalid escapes, which are their author's to see.
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def _cells(text: str) -> list[str]:
    """The code of a notebook's cells, without the lines that are magics or shell commands."""
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = ["".join(cell["source"]).splitlines() for cell in cells]
    return ["\n".join(line for line in cell if line[:1] not in ("%", "!")) for cell in lines]
