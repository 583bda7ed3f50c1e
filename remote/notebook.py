"""What a notebook file says before it runs: its papermill parameters and its experiment.

papermill can tell the parameters too (`papermill.inspect_notebook`), but importing it takes over a
second, and every `inv remote-run` would pay for it.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Optional

from remote.errors import NotebookError

FOLDER = "src/notebooks"
KINDS = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One assignment of the cell tagged `parameters`.

    `kind` is a Python type's name out of KINDS, or "" where nothing tells it.
    `default` is the source text of the default, `comment` what stands behind it.
    """

    name: str
    kind: str
    default: str
    comment: str = ""

    def convert(self, text: str) -> Any:
        """The value that `text`, as typed in a shell, means; raises NotebookError."""
        try:
            return _convert(self.kind, text)
        except ValueError:
            shown = text if len(text) <= 60 else text[:57] + "..."
            raise NotebookError(
                f"Parameter {self.name!r} takes {_described(self.kind)}, not {shown!r}.",
                f"Its default in the notebook is {self.default}.",
            ) from None


@dataclass(frozen=True)
class Notebook:
    """A notebook file, read. `path` is relative to the project's root where it lies below it."""

    path: Path
    parameters: tuple[Parameter, ...]
    experiment: Optional[str]
    continues_run: bool
    language: str

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name` (`-` and `_` are the same); raises NotebookError."""
        for parameter in self.parameters:
            if parameter.name == name or parameter.name.replace("_", "-") == name:
                return parameter
        raise NotebookError(f"{self.path} has no parameter {name!r}.", self._nearest(name))

    def _nearest(self, name: str) -> str:
        names = [parameter.name for parameter in self.parameters]
        if not names:
            return "It has no cell tagged 'parameters' (or an empty one), so it takes none."
        near = difflib.get_close_matches(name.replace("-", "_"), names, n=3, cutoff=0.5)
        return f"Did you mean {', '.join(near)}?" if near else f"It takes {', '.join(names)}."


def find(root: Path, name: str) -> Path:
    """The notebook called `name`: a path, or a file in `src/notebooks`; `.ipynb` may be left out.

    Raises NotebookError with the nearest names.
    """
    names = [name] if name.endswith(".ipynb") else [name, name + ".ipynb"]
    for candidate in names:
        for path in (Path(candidate), root / candidate, root / FOLDER / candidate):
            if path.suffix == ".ipynb" and path.is_file():
                return path.resolve()
    raise NotebookError(f"There is no notebook {name!r}, nor one in {FOLDER}/.", _near(root, name))


def _near(root: Path, name: str) -> str:
    found = sorted(path.name for path in (root / FOLDER).glob("*.ipynb"))
    if not found:
        return f"{FOLDER}/ holds no notebook."
    stems = [Path(each).stem for each in found]
    near = [f"{stem}.ipynb" for stem in difflib.get_close_matches(Path(name).stem, stems, n=3)]
    return f"Did you mean {', '.join(near)}?" if near else f"There is {', '.join(found[:10])}."


def read(path: Path, root: Path) -> Notebook:
    """Read a notebook; raises NotebookError where it isn't one."""
    try:
        cells = [(_tags(cell), _source(cell)) for cell in _code_cells(path)]
        language = _language(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"{path} can't be read as a notebook: {error}.") from error
    parameters: tuple[Parameter, ...] = ()
    for tags, source in cells:
        if "parameters" in tags:
            parameters = tuple(_parameters(source))
            break
    calls = _MlflowCalls(parameters)
    for _, source in cells:
        calls.read(source)
    resolved = path.resolve()
    inside = resolved.is_relative_to(root.resolve())
    return Notebook(
        path=resolved.relative_to(root.resolve()) if inside else resolved,
        parameters=parameters,
        experiment=calls.experiment,
        continues_run=calls.continues_run,
        language=language,
    )


def _language(path: Path) -> str:
    metadata = json.loads(path.read_bytes()).get("metadata", {})
    kernel = metadata.get("kernelspec", {}).get("language")
    return str(kernel or metadata.get("language_info", {}).get("name") or "python").lower()


def _code_cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_bytes())
    cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _tags(cell: Mapping[str, Any]) -> list[str]:
    tags = cell.get("metadata", {}).get("tags", [])
    return [str(tag) for tag in tags]


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(source)


def _plain(source: str) -> str:
    """`source` without IPython's magics and shell lines, which Python can't parse."""
    lines = source.splitlines()
    return "\n".join("pass" if line.lstrip()[:1] in ("%", "!", "?") else line for line in lines)


def _parsed(source: str) -> Iterable[ast.stmt]:
    try:
        return ast.parse(_plain(source)).body
    except SyntaxError:
        return []


def _parameters(source: str) -> Iterator[Parameter]:
    comments = _comments(source)
    for statement in _parsed(source):
        found = _assignment(statement)
        if found:
            name, annotation, value = found
            default = ast.unparse(value)
            comment = comments.get(statement.end_lineno or 0, "")
            yield Parameter(name, _kind(annotation, value), default, comment)


def _assignment(statement: ast.stmt) -> Optional[tuple[str, Optional[ast.expr], ast.expr]]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, None, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        if statement.value is not None:
            return statement.target.id, statement.annotation, statement.value
    return None


def _comments(source: str) -> dict[int, str]:
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("# ").rstrip()
    except (tokenize.TokenError, SyntaxError):
        pass
    return found


def _kind(annotation: Optional[ast.expr], value: ast.expr) -> str:
    if annotation is not None:
        named = ast.unparse(annotation).split("[")[0].rpartition(".")[2].lower()
        if named in KINDS:
            return named
    try:
        kind = type(ast.literal_eval(value)).__name__
    except ValueError:
        return ""
    return kind if kind in KINDS else ""


def _convert(kind: str, text: str) -> Any:
    if kind == "str":
        return text
    if kind == "bool":
        return _word(text)
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind in ("list", "dict"):
        return _collection(text, KINDS[kind])
    return _guessed(text)


def _word(text: str) -> bool:
    if text.lower() not in WORDS:
        raise ValueError(text)
    return WORDS[text.lower()]


def _collection(text: str, kind: type) -> Any:
    value = _guessed(text)
    if not isinstance(value, kind):
        raise ValueError(text)
    return value


def _guessed(text: str) -> Any:
    """JSON where it is JSON, a Python literal where it is one, else the text itself."""
    for read_value in (json.loads, ast.literal_eval):
        try:
            value = read_value(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if value is None or isinstance(value, (bool, int, float, str, list, dict)):
            return value
    return text


def _described(kind: str) -> str:
    names = {
        "int": "a whole number (int)",
        "float": "a number (float)",
        "bool": "true or false (bool)",
        "list": "a list, as JSON: [1, 2]",
        "dict": 'a dict, as JSON: {"a": 1}',
    }
    return names.get(kind, "a value")


class _MlflowCalls:
    """Finds out, before the notebook runs, which experiment its runs will go to.

    MLflow refuses to continue a run (MLFLOW_RUN_ID) in another experiment than the one that
    `mlflow.set_experiment` chose, so the job's run has to be made in the right one from the start.
    Where that can't be told (a name that is computed, a tracking URI of the notebook's own), the
    notebook's runs become runs of their own instead.
    """

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self.experiment: Optional[str] = None
        self.continues_run = True
        self._known = {parameter.name: parameter.default for parameter in parameters}

    def read(self, source: str) -> None:
        for statement in _parsed(source):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call):
                    self._call(node)

    def _call(self, call: ast.Call) -> None:
        name = ast.unparse(call.func).rpartition(".")[2]
        if name == "set_experiment":
            self._experiment(call)
        elif name == "set_tracking_uri":
            uri = self._argument(call, "uri")
            self.continues_run &= uri in ("sqlite:///mlflow.db", "")

    def _experiment(self, call: ast.Call) -> None:
        name = self._argument(call, "experiment_name")
        if name is None or self.experiment not in (None, name):
            self.continues_run = False
        self.experiment = self.experiment or name

    def _argument(self, call: ast.Call, keyword: str) -> Optional[str]:
        """The text of a call's first argument: a literal, or `{name}` for a parameter."""
        given = list(call.args[:1]) + [key.value for key in call.keywords if key.arg == keyword]
        if not given:
            return None
        if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            return given[0].value
        if isinstance(given[0], ast.Name) and given[0].id in self._known:
            return "{" + given[0].id + "}"
        return None


def literal(source: str) -> Any:
    """The value of a default's source text; the text itself where it isn't a literal."""
    try:
        return ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return source
