"""Reading the Python of a notebook's cells without running it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from remote.programs.notebook.parameter import KINDS, UNREADABLE, Parameter

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
        assigned = _assignment(statement)
        if assigned:
            name, annotation, value = assigned
            kind, optional = _kind(annotation, value)
            comment = comments.get(statement.end_lineno or 0, "")
            by_name[name] = Parameter(name, kind, _unparsed(value), comment, optional)
    return tuple(by_name.values())


def _assignment(statement: ast.stmt) -> tuple[str, ast.expr | None, ast.expr] | None:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, None, statement.value
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        return None
    if statement.value is None:
        return None
    return statement.target.id, statement.annotation, statement.value


def _unparsed(value: ast.expr) -> str:
    try:
        return ast.unparse(value)
    except UNREADABLE:
        return "..."


def _comments(source: str) -> dict[int, str]:
    comments = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.lstrip("# ").rstrip()
    except (tokenize.TokenError, *UNREADABLE):
        pass
    return comments


def _kind(annotation: ast.expr | None, value: ast.expr) -> tuple[str, bool]:
    """(the type's name out of KINDS or "", whether None is allowed too)."""
    if annotation is not None:
        named = list(_annotated(annotation))
        kinds = [name for name in named if name in KINDS]
        if len(kinds) == 1:
            return kinds[0], "None" in named
    try:
        kind = type(ast.literal_eval(value)).__name__
    except UNREADABLE:
        return "", False
    return (kind if kind in KINDS else ""), False


def _annotated(annotation: ast.expr) -> Iterator[str]:
    """The types that an annotation allows, in small letters, and `None`."""
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):
            for statement in statements(annotation.value) or ():
                if isinstance(statement, ast.Expr):
                    yield from _annotated(statement.value)
        else:
            yield str(annotation.value)
    elif isinstance(annotation, ast.BinOp):
        yield from _annotated(annotation.left)
        yield from _annotated(annotation.right)
    elif isinstance(annotation, ast.Tuple):
        for each in annotation.elts:
            yield from _annotated(each)
    elif isinstance(annotation, ast.Subscript):
        (outer,) = list(_annotated(annotation.value)) or [""]
        if outer in ("optional", "union"):
            yield from _annotated(annotation.slice)
            yield from ["None"] if outer == "optional" else []
        else:
            yield outer
    elif isinstance(annotation, (ast.Name, ast.Attribute)):
        yield _unparsed(annotation).rpartition(".")[2].lower()
