"""The notebook, or script, that is calling: where it lies, and its twin as a Python script."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: How a script begins that jupytext keeps together with a notebook.
TWIN_HEAD = "# ---\n# jupyter:\n"


class Unknown(Exception):
    """Who calls can't be told, and why."""


def calling() -> Path:
    """The file of the notebook or script that this process runs; raises Unknown."""
    shell = _shell()
    main = sys.modules["__main__"]
    named = list(_named(shell.user_ns) if shell else [getattr(main, "__file__", None)])
    paths = [Path(name).resolve() for name in named if name]
    for path in paths:
        if path.is_file():
            return path
    if not paths:
        raise Unknown("the notebook's file is not known here; name its folder in git_repo_dir")
    raise Unknown(f"{paths[0]} is not there: save it, or, if it was renamed, restart the kernel")


def _shell() -> Any:
    """IPython's shell in a notebook's kernel; None in a script."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _named(variables: Any) -> Iterator[Any]:
    """What VS Code, papermill, the job and Jupyter say, the innermost first."""
    yield variables.get("__vsc_ipynb_file__")
    yield variables.get("PAPERMILL_INPUT_PATH")
    source = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}")).get("remote.source", "")
    yield source if source.endswith(".ipynb") else None
    yield os.environ.get("JPY_SESSION_NAME")


def is_behind(path: Path) -> bool:
    """Whether the cell that runs now is not in the file: the notebook was not saved since."""
    shell = _shell()
    if shell is None or path.suffix != ".ipynb":
        return False
    running = shell.history_manager.input_hist_raw[-1].strip()
    return running not in (_source(cell).strip() for cell in _cells(path))


def _cells(path: Path) -> list[Any]:
    try:
        return list(json.loads(path.read_bytes())["cells"])
    except (ValueError, KeyError, TypeError):
        return []


def _source(cell: Any) -> str:
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def update_twin(notebook: Path) -> tuple[Path | None, str]:
    """Bring the script beside the notebook up to date; it comes back, or why there is none."""
    twin = notebook.with_suffix(".py")
    if twin.exists() and not twin.read_text("utf-8", "replace").startswith(TWIN_HEAD):
        return None, f"{twin.name} is no twin of it, and was left alone"
    try:
        import jupytext
    except ModuleNotFoundError:
        return None, 'no twin was written, for that needs jupytext: make install extras="lab"'
    text = jupytext.writes(jupytext.read(notebook), fmt="py:percent")
    if not twin.exists() or _cells_of_twin(twin.read_text("utf-8", "replace")) != _cells_of_twin(
        text
    ):
        twin.write_text(text, "utf-8")
    return twin, ""


def _cells_of_twin(text: str) -> str:
    """All but the head, in which JupyterLab may say more."""
    return text.partition("\n# ---\n")[2]
