"""Requests and answers: each verb has both, and every field says what it may hold."""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module
from typing import Any

import pytest

from remote.agent.main import VERBS, Verb
from remote.job import fields, serving, spec, status
from remote.job.messages import base, gpus, jobs, records, services, target

LONG_TEXT = "x" * (1 << 25)
LONG_LIST: list[Any] = [[]] * 1_100_000

MODULES = (base, gpus, jobs, records, services, target, spec, status, serving)
CLASSES = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    },
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_is_frozen_and_says_what_it_may_hold(cls: Any) -> None:
    assert cls.__dataclass_params__.frozen
    for field in dataclasses.fields(cls):
        assert isinstance(field.metadata["json"], fields.Codec), field.name


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_field_takes_any_value_that_is_not_bounded(cls: Any) -> None:
    numbers = [10**400, float("nan")]
    for field in dataclasses.fields(cls):
        if cls is records.DeltaRequest and field.name == "known":
            # What we have ourselves of a store grows with the store.
            continue
        # A parameter of the user's may be any number.
        for value in [LONG_TEXT, LONG_LIST, *([] if field.type == "Any" else numbers)]:
            with pytest.raises(fields.Misfit):
                field.metadata["json"].read(value)


@pytest.mark.parametrize(("name", "row"), VERBS.items())
def test_every_verb_has_a_handler_that_takes_its_request(name: str, row: Verb) -> None:
    module = import_module(f"remote.agent.{row.module}")
    request = getattr(module, row.request)
    assert issubclass(request, base.Request) and request.verb == name
    assert dataclasses.is_dataclass(request.answer)
    assert callable(getattr(module, row.function))


def test_a_job_keeps_what_was_asked() -> None:
    asked = spec.JobSpec("script", "a.py", "a", arguments=("x",), env={"A": "b"}, gpus=0)
    job = spec.Job(**{**vars(asked), "id": "1-a", "mlflow_run": "ab"})
    read = fields.from_json(spec.Job, json.loads(json.dumps(fields.to_json(job))), "job")
    assert read == job and read.spec == asked
