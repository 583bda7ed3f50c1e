"""What a notebook file says before it runs: its papermill parameters.

papermill can tell them too (`papermill.inspect_notebook`), but importing it takes over a
second, and every `inv remote-run` would pay for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.errors import NotebookError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs import cell_source
from remote.programs.parameter import (
    MALFORMED,
    Asked,
    Parameter,
    is_file,
    literal,
    named,
    nearest,
    shortened,
)

FOLDER = "src/notebooks"

#: Bytes in the name of an executed notebook, before its timestamp, state, number and suffix.
LONGEST_NAME = 200


@dataclass(frozen=True)
class Notebook:
    """A notebook file, read. `path` is relative to the project's root where it lies below it."""

    path: Path
    parameters: tuple[Parameter, ...]
    language: str = "python"

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name` (`-` and `_` are the same); raises NotebookError."""
        none = "It has no cell tagged 'parameters' (or an empty one), so it takes none."
        return named(name, self.parameters, str(self.path), NotebookError, none)

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job that keeps the executed notebook, called `output` or like this one."""
        if asked.arguments:
            raise NotebookError(
                f"{self.path} is a notebook: it takes parameters, and nothing after --.",
                "Type them as flags: train.ipynb --epoch 10",
            )
        if self.path.is_absolute():
            raise NotebookError(
                f"{self.path} lies outside of the project {root}.",
                "Only what is pushed can run there: copy it into src/notebooks/.",
            )
        if not self.language.lower().startswith("python"):
            raise NotebookError(
                f"{self.path} is written in {self.language}, and jobs run notebooks in Python.",
                "A script of it can run: inv remote-run --shell 'Rscript analysis.R'",
            )
        output = (asked.output or self.path.name).removesuffix(".ipynb")
        name = os.path.normpath(output)
        if os.path.isabs(name) or name.split("/")[0] in ("..", ".") or output.endswith("/"):
            raise NotebookError(
                f"The executed notebook can't be called {output}.",
                "Give a name, with folders before it if you like, such as exp/result: it is put"
                " below data/results/notebooks/.",
            )
        if len(Path(name).name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
            raise NotebookError(
                f"The name of the executed notebook is too long: {output[:40]}...",
                f"It may have {LONGEST_NAME} bytes.",
            )
        defaults = {parameter.name: literal(parameter.default) for parameter in self.parameters}
        return JobSpec(
            kind=kinds.NOTEBOOK.name,
            source=self.path.as_posix(),
            name=self.path.stem,
            parameters=dict(asked.parameters),
            defaults=defaults,
            output=name,
        )


def find(root: Path, name: str) -> Path:
    """The notebook called `name`: a path, or a file in `src/notebooks`; `.ipynb` may be left out.

    Raises NotebookError with the nearest names.
    """
    names = [name] if name.endswith(".ipynb") else [name, name + ".ipynb"]
    for candidate in names:
        for path in (Path(candidate), root / candidate, root / FOLDER / candidate):
            if path.suffix == ".ipynb" and is_file(path):
                return path.resolve()
    notebooks = sorted(path.name for path in (root / FOLDER).glob("*.ipynb"))
    stems = [Path(notebook).stem for notebook in notebooks]
    near = [f"{stem}.ipynb" for stem in nearest(Path(name).stem, stems)]
    hint = (
        f"It holds {', '.join(notebooks[:10])}." if notebooks else f"{FOLDER}/ holds no notebook."
    )
    if near:
        hint = f"Did you mean {', '.join(near)}?"
    shown = shortened(name)
    raise NotebookError(f"There is no notebook {shown!r}, nor one in {FOLDER}/.", hint)


def code_cells(document: Any) -> list[Any]:
    """Its cells of code; raises one of MALFORMED where it isn't a notebook's JSON."""
    # nbformat 3 has worksheets.
    cells = document["cells"] if "cells" in document else document["worksheets"][0]["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source_of(cell: Any) -> str:
    """The code of a cell; nbformat 3 calls it the input."""
    return "".join(cell.get("source", cell.get("input", "")))


def read(path: Path, root: Path) -> Notebook:
    """Read a notebook; raises NotebookError where it isn't one."""
    try:
        document = json.loads(path.read_bytes())
        cells = code_cells(document)
        sources = [source_of(cell) for cell in cells]
        tags = [list(cell.get("metadata", {}).get("tags", ())) for cell in cells]
        metadata = document.get("metadata", {})
        language = _language(metadata)
    except MALFORMED as error:
        raise NotebookError(
            f"{path} can't be read as a notebook: {error}.",
            "Save it again in Jupyter, or put back a copy.",
        ) from error
    tagged = next((number for number, names in enumerate(tags) if "parameters" in names), None)
    parameters = () if tagged is None else cell_source.parameters(sources[tagged])
    resolved, top = path.resolve(), root.resolve()
    return Notebook(
        path=resolved.relative_to(top) if resolved.is_relative_to(top) else resolved,
        parameters=parameters,
        language=language,
    )


def _language(metadata: Mapping[str, Any]) -> str:
    """What the cells are written in; Python where nothing tells it."""
    kernel = metadata.get("kernelspec", {})
    told = kernel.get("language") or metadata.get("language_info", {}).get("name")
    # IRkernel's and IJulia's names, where that is all there is.
    name = str(kernel.get("name", ""))
    other = "R" if name == "ir" else "Julia" if name.startswith("julia") else "python"
    return str(told or other)
