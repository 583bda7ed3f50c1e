"""Run a notebook with nbclient alone, where an environment that others made has no papermill.

What is left of the notebook, and what is said meanwhile, is as papermill would have it, without the
times of its cells.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Callable, Mapping

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

#: papermill's own tags.
PARAMETERS, INJECTED = "parameters", "injected-parameters"


class CellFailed(Exception):
    """A cell's exception, under the names of papermill's PapermillExecutionError."""

    def __init__(self, cell: Any, error: Mapping[str, Any]) -> None:
        super().__init__(error["evalue"])
        self.exec_count = cell.execution_count
        self.ename, self.evalue = error["ename"], error["evalue"]
        self.traceback = error["traceback"]


class _Client(NotebookClient):  # type: ignore[misc]
    """Says what cells print as they print it."""

    def process_message(self, message: Any, cell: Any, cell_index: int) -> Any:
        """As nbclient does, telling it here too."""
        if message["msg_type"] == "stream":
            content = message["content"]
            stream = sys.stderr if content["name"] == "stderr" else sys.stdout
            stream.write(content["text"])
            stream.flush()
        return super().process_message(message, cell, cell_index)


def run(
    source: str,
    parameters: Mapping[str, Any],
    *,
    kernel: str,
    cwd: Path,
    config: Config,
    begun: Callable[[int, int], None],
    save: Callable[[str], None],
) -> None:
    """Execute the notebook `source`; raises CellFailed.

    `begun` is told which code cell of how many begins, from 1 on; `save` gets the notebook as text
    after each cell.
    """
    notebook = nbformat.read(source, as_version=4)
    if parameters:
        _inject(notebook, parameters)
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def start(cell: Any, cell_index: int) -> None:
        if cell_index in code:
            begun(code.index(cell_index) + 1, len(code))

    def written(**rest: Any) -> None:
        save(nbformat.writes(notebook))

    client = _Client(
        notebook,
        kernel_name=kernel,
        timeout=None,
        config=config,
        resources={"metadata": {"path": str(cwd)}},
        on_cell_start=start,
        on_cell_complete=written,
    )
    try:
        client.execute()
    except CellExecutionError:
        failed, error = _failure(notebook)
        raise CellFailed(failed, error) from None
    finally:
        written()


def _failure(notebook: Any) -> Any:
    """The cell that failed last, and its error."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    errors = [(cell, out) for cell in cells for out in cell.outputs if out.output_type == "error"]
    return errors[-1]


def _inject(notebook: Any, parameters: Mapping[str, Any]) -> None:
    """Have a cell with the values that were given follow that of the defaults."""
    lines = [f"{name} = {_literal(value)}" for name, value in parameters.items()]
    cell = nbformat.v4.new_code_cell("\n".join(["# Parameters", *lines]))
    cell.metadata["tags"] = [INJECTED]
    kept = [other for other in notebook.cells if INJECTED not in _tags(other)]
    tagged = (i for i, other in enumerate(kept, 1) if PARAMETERS in _tags(other))
    kept.insert(next(tagged, 0), cell)
    notebook.cells = kept


def _tags(cell: Any) -> Any:
    return cell.metadata.get("tags", ())


def _literal(value: Any) -> str:
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return f"float({str(value)!r})" if is_odd else repr(value)
