"""Requests and answers: each verb has both, and every field says what it may hold."""

from __future__ import annotations

import json
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

from remote.agent.main import VERBS, Verb
from remote.job import fields, messages, spec, status
from remote.job.messages import base, records
from remote.job.struct import Struct

LONG_TEXT = "x" * (1 << 25)
LONG_LIST: list[Any] = [[]] * 1_100_000

MODULES = (
    *(
        import_module(f"{messages.__name__}.{info.name}")
        for info in iter_modules(messages.__path__)
    ),
    *(spec, status),
)
CLASSES = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Struct) and value.fields
    },
    key=lambda cls: cls.__name__,
)


def kinds_of(cls: type[Struct]) -> dict[str, str]:
    """The annotation of each field, its bases' too."""
    return {
        name: kind
        for base in cls.__mro__
        for name, kind in vars(base).get("__annotations__", {}).items()
        if not kind.startswith("ClassVar")
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_value_is_frozen_and_every_field_says_what_it_may_hold(cls: type[Struct]) -> None:
    assert kinds_of(cls).keys() == cls.fields.keys()
    value = cls(**dict.fromkeys(cls.fields))
    for name in cls.fields:
        with pytest.raises(AttributeError, match="replace"):
            setattr(value, name, "other")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_field_takes_any_value_that_is_not_bounded(cls: type[Struct]) -> None:
    numbers = [10**400, float("nan")]
    for name, field in cls.fields.items():
        if cls is records.DeltaRequest and name == "known":
            # What we have ourselves of a store grows with the store.
            continue
        # A parameter of the user's may be any number.
        for value in [LONG_TEXT, LONG_LIST, *([] if kinds_of(cls)[name] == "Any" else numbers)]:
            with pytest.raises(fields.Misfit):
                field.read(value)


@pytest.mark.parametrize(("name", "row"), VERBS.items())
def test_every_verb_has_a_handler_that_takes_its_request(name: str, row: Verb) -> None:
    module = import_module(f"remote.agent.{row.module}")
    subject, _, class_name = row.request.partition(".")
    request = getattr(import_module(f"{messages.__name__}.{subject}"), class_name)
    assert issubclass(request, base.Request) and request.verb == name
    assert issubclass(request.answer, Struct)
    assert callable(getattr(module, row.function))


def test_a_job_keeps_what_was_asked() -> None:
    asked = spec.JobSpec("script", "a.py", "a", arguments=("x",), env={"A": "b"}, gpus=0)
    job = spec.Job(**{**vars(asked), "id": "1-a", "mlflow_run": "ab"})
    read = spec.Job.from_json(json.loads(json.dumps(job.to_json())), "job")
    assert read == job and read.spec == asked
