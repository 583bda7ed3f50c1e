"""The flags of `remote-run` as typed arguments of a tool: one for each row of RunOptions."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from inspect import Parameter
from typing import Annotated, Any

from pydantic import Field

from remote.job.fields import NAME
from remote.operations.jobs.run_options import RunOptions, gpu_count
from remote.options import Option, mebibytes, options_of, seconds


def job_options() -> Iterator[Parameter]:
    """What may be given by name; None is what isn't."""
    kinds = typing.get_type_hints(RunOptions)
    for name, row in options_of(RunOptions).items():
        kind = _kind(row, kinds[name]) | None
        told = Field(description=_help(row))
        yield Parameter(
            name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, told]
        )


def _kind(row: Option, kind: Any) -> Any:
    text = Annotated[str, Field(max_length=NAME)]
    if row.collect:
        many = dict[str, text] if row.collect is dict else list[text]
        return Annotated[many, Field(max_length=1000)]
    if kind is str or row.parse in (seconds, mebibytes):
        # Amounts are typed with their unit.
        return text
    # A whole number stays one.
    return int | float if row.parse is gpu_count else kind


def _help(row: Option) -> str:
    return row.help.replace("KEY=VALUE, ", "").replace("; repeatable", "")
