"""The objects that `--json` prints, field by field, from the classes that they are in the code."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from remote.job.messages.gpus import Gpu
from remote.job.messages.jobs import JobSummary, StoppedJob
from remote.job.status import JobStatus
from remote.job.struct import Struct
from remote.operations.doctor import Check
from remote.operations.sync import Pulled
from remote.operations.tracking.merge_records import Records
from remote.tracking.check.examine import Finding
from remote.tracking.merge import Conflict, MergeSummary
from remote.transport.rsync_problems import Problem
from remote.transport.rsync_tally import Tally

#: By their names in docs/json.md, in its order.
OBJECTS: Mapping[str, type] = {
    "status": JobStatus,
    "job": JobSummary,
    "transfer": Tally,
    "problem": Problem,
    "pull": Pulled,
    "records": Records,
    "summary": MergeSummary,
    "GPU": Gpu,
    "stopped job": StoppedJob,
    "check": Check,
    "finding": Finding,
    "conflict": Conflict,
}

_PLAIN = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "true or false",
    "None": "null",
    "object": "any value",
}
_LISTS = ("tuple", "Tuple", "list", "List")


def described() -> str:
    """For each object a heading, and a row for each field: its type in JSON, what it means."""
    return "\n".join(
        f"### {name}\n\n| field | type | meaning |\n| --- | --- | --- |\n{_rows(kind)}\n"
        for name, kind in OBJECTS.items()
    )


def _rows(kind: type) -> str:
    rows = fields_of(kind).items()
    return "\n".join(f"| `{name}` | {field.type} | {field.meaning} |" for name, field in rows)


class Described(NamedTuple):
    """What a field is in JSON, and the text below it in the code."""

    type: str
    meaning: str


def fields_of(kind: type) -> dict[str, Described]:
    """The fields of a class of the toolkit's, those of its bases first; a job has a status', too."""
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("remote.")]
    told = (Struct, JobStatus) if kind is JobSummary else (Struct,)
    return {name: field for base in ours if base not in told for name, field in _own(base)}


def _own(kind: type) -> Iterator[tuple[str, Described]]:
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, [*body.body[1:], None]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield field.target.id, Described(json_type(field.annotation), _meaning(text))


def _meaning(below: ast.stmt | None) -> str:
    if not isinstance(below, ast.Expr) or not isinstance(below.value, ast.Constant):
        return ""
    return re.sub(r"\s+", " ", str(below.value.value)).replace("|", "\\|")


def json_type(hint: ast.expr) -> str:
    """What a value of this type is in JSON."""
    name = ast.unparse(hint)
    if isinstance(hint, ast.BinOp):
        return f"{json_type(hint.left)} or {json_type(hint.right)}"
    if isinstance(hint, ast.Subscript):
        outer = ast.unparse(hint.value)
        if outer == "Optional":
            return f"{json_type(hint.slice)} or null"
        if outer in _LISTS:
            members = hint.slice.elts[0] if isinstance(hint.slice, ast.Tuple) else hint.slice
            return f"list of {json_type(members)}"
    return _PLAIN.get(name, "object")
