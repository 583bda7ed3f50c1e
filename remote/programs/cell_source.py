"""Reading the Python of a notebook's cells without running it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from remote.programs.parameter import KINDS, UNREADABLE, Parameter

#: IPython's own lines, which Python can't parse: `%magic`, `!command`, `?help`, `help?`, `a = !ls`.
_IPYTHON = re.compile(r"^(\s*)(?:[%!?].*|.*\?|[\w\s,.\[\]()]+=\s*[%!].*)$")


def statements(source: str) -> list[ast.stmt] | None:
    """The statements of a cell; None where they can't be told."""
    for text in (source, _without_magics(source)):
        try:
            with warnings.catch_warnings():
                # What is odd about a cell is for the kernel to say, when it runs.
                warnings.simplefilter("ignore")
                return ast.parse(text).body
        except UNREADABLE:
            continue
    return None


def _without_magics(source: str) -> str:
    return "\n".join(_IPYTHON.sub(r"\1pass", line) for line in source.split("\n"))


def parameters(source: str) -> tuple[Parameter, ...]:
    """The plain assignments of the cell tagged `parameters`; the last of a name counts."""
    comments = _comments(source)
    by_name: dict[str, Parameter] = {}
    for statement in statements(source) or ():
        if isinstance(statement, ast.Assign):
            target, annotation = statement.targets[0], None
        elif isinstance(statement, ast.AnnAssign):
            target, annotation = statement.target, statement.annotation
        else:
            continue
        if isinstance(target, ast.Name) and statement.value is not None:
            kind, optional, choices = _kind(annotation, statement.value)
            comment = comments.get(statement.end_lineno or 0, "")
            default = _unparsed(statement.value)
            by_name[target.id] = Parameter(target.id, kind, default, comment, optional, choices)
    return tuple(by_name.values())


def _comments(source: str) -> dict[int, str]:
    comments = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("# ").rstrip()
    except (tokenize.TokenError, *UNREADABLE):
        pass
    return comments


def _unparsed(value: ast.expr) -> str:
    try:
        return ast.unparse(value)
    except UNREADABLE:
        return "..."


def _kind(annotation: ast.expr | None, value: ast.expr) -> tuple[str, bool, tuple[Any, ...]]:
    """(the type's name out of KINDS or "", whether None is allowed too, the values of `Literal`)."""
    choices: list[Any] = []
    named = list(_annotated(annotation, choices)) if annotation else []
    kinds = [name for name in named if name in KINDS]
    if len(kinds) == 1:
        return kinds[0], "none" in named, ()
    try:
        kind = type(ast.literal_eval(value)).__name__
    except UNREADABLE:
        kind = ""
    literal_only = bool(choices) and set(named) <= {"none", "literal", "union"}
    optional = literal_only and "none" in named
    return (kind if kind in KINDS else ""), optional, tuple(choices) if literal_only else ()


def _annotated(annotation: ast.expr, choices: list[Any]) -> Iterator[str]:
    """The types that an annotation allows, None among them, in small letters; the values that a
    `Literal` lists are added to `choices`."""
    inner: Iterable[ast.expr] = ()
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        quoted = statements(annotation.value) or ()
        inner = [part.value for part in quoted if isinstance(part, ast.Expr)]
    elif isinstance(annotation, ast.BinOp):
        inner = (annotation.left, annotation.right)
    elif isinstance(annotation, ast.Tuple):
        inner = annotation.elts
    elif isinstance(annotation, ast.Subscript):
        outer = _unparsed(annotation.value).rpartition(".")[2].lower()
        if outer in ("optional", "union"):
            inner = [annotation.slice]
        elif outer == "literal":
            listed = annotation.slice
            values = listed.elts if isinstance(listed, ast.Tuple) else [listed]
            choices += [value.value for value in values if isinstance(value, ast.Constant)]
        yield "none" if outer == "optional" else outer
    elif isinstance(annotation, (ast.Name, ast.Attribute, ast.Constant)):
        yield _unparsed(annotation).rpartition(".")[2].lower()
    for part in inner:
        yield from _annotated(part, choices)


#: MLflow's, and the template's own (src/lib/tracking).
_CALLS = ("set_experiment", "set_tracking_uri", "save_mlflow")


class Experiment:
    """What the cells' calls of MLflow say.

    MLflow refuses to continue a run (MLFLOW_RUN_ID) in another experiment than the one that
    `mlflow.set_experiment` chose, so the job's run has to be made in the right one from the start.
    Where that can't be told (a name that is computed, a tracking URI of the notebook's own),
    `certain` is false, and the notebook's runs become runs of their own instead.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.name: str | None = None
        #: The parameter that holds the name, instead of `name`.
        self.parameter: str | None = None
        self.certain = True
        self._known = {parameter.name for parameter in parameters if _is_text(parameter.default)}

    def read(self, source: str, *, sets: bool) -> None:
        """Take one more cell; `sets` tells whether it may give a parameter another value."""
        parsed = statements(source)
        if parsed is None:
            self.certain &= not any(name in source for name in _CALLS)
            return
        nodes = [node for statement in parsed for node in ast.walk(statement)]
        if sets:
            names = [node for node in nodes if isinstance(node, ast.Name)]
            self._known -= {name.id for name in names if isinstance(name.ctx, ast.Store)}
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)

    def _call(self, call: ast.Call) -> None:
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        name = function.id if isinstance(function, ast.Name) else name
        if name in ("set_experiment", "save_mlflow"):
            self._chosen(_argument(call, "experiment_name"))
        elif name == "set_tracking_uri":
            uri = _argument(call, "uri")
            local = isinstance(uri, ast.Constant) and uri.value in ("sqlite:///mlflow.db", "")
            self.certain &= local

    def _chosen(self, value: ast.expr | None) -> None:
        nothing = (None, None)
        choice: tuple[str | None, str | None] = nothing
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            choice = (value.value, None)
        elif isinstance(value, ast.Name) and value.id in self._known:
            choice = (None, value.id)
        before = (self.name, self.parameter)
        self.certain &= choice != nothing and before in (nothing, choice)
        if before == nothing:
            self.name, self.parameter = choice


def _argument(call: ast.Call, keyword: str) -> ast.expr | None:
    given = list(call.args[:1]) + [key.value for key in call.keywords if key.arg == keyword]
    return given[0] if given else None


def _is_text(source: str) -> bool:
    try:
        return isinstance(ast.literal_eval(source), str)
    except UNREADABLE:
        return False
