"""The tools as a client sees them, without a server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import Tool

from remote.errors import JobError
from remote.mcp import job_tools, registry
from remote.operations.jobs.run_options import RunOptions
from remote.options import options_of
from tests.conftest import ROOT

#: read-only, destructive, idempotent, reaches other machines; None where it isn't said.
HINTS = {
    "push": (False, True, True, True),
    "run": (False, True, False, True),
    "sweep": (False, True, False, True),
    "rerun": (False, True, False, True),
    "ps": (True, None, None, True),
    "log": (True, None, None, True),
    "wait": (True, None, None, True),
    "stop": (False, True, True, True),
    "pull": (False, True, True, True),
    "records": (True, None, None, False),
}


@pytest.fixture(scope="module")
def listed() -> dict[str, Tool]:
    async def ask() -> dict[str, Tool]:
        async with Client(registry.server()) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    return asyncio.run(ask())


def called(name: str, **arguments: Any) -> tuple[bool, str]:
    """Whether it is an error, and the text."""

    async def ask() -> tuple[bool, str]:
        async with Client(registry.server()) as client:
            result = await client.call_tool(name, arguments)
            return bool(result.is_error), result.content[0].text  # type: ignore[union-attr]

    return asyncio.run(ask())


def test_each_tool_says_what_it_may_change(listed: dict[str, Tool]) -> None:
    said = {}
    for name, tool in listed.items():
        hints = tool.annotations
        assert hints and tool.description
        said[name] = (
            hints.read_only_hint,
            hints.destructive_hint,
            hints.idempotent_hint,
            hints.open_world_hint,
        )
    assert said == HINTS


@pytest.mark.parametrize("page", ["docs/agents.md", "docs/ja/agents.md"])
def test_the_documents_list_the_same_tools(page: str, listed: dict[str, Tool]) -> None:
    text = (ROOT / page).read_text("utf-8")
    table = text[text.index("python -m remote mcp") :]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == list(listed)


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_every_flag_of_remote_run_is_a_typed_argument(name: str, listed: dict[str, Tool]) -> None:
    arguments = listed[name].input_schema["properties"]
    assert options_of(RunOptions).keys() <= arguments.keys()
    kinds = {row: arguments[row]["anyOf"][:-1] for row in options_of(RunOptions)}
    assert kinds["timeout"] == [{"type": "string", "maxLength": 4096}]
    assert [kind["type"] for kind in kinds["gpus"]] == ["integer", "number"]
    assert kinds["env"][0]["type"] == "object" and kinds["extras"][0]["type"] == "array"
    assert "--" not in str([arguments[row]["description"] for row in ("env", "tags")])


def test_all_arguments_have_limits(listed: dict[str, Tool]) -> None:
    for name, tool in listed.items():
        assert tool.input_schema["additionalProperties"] is False
        for argument, schema in tool.input_schema["properties"].items():
            for kind in schema.get("anyOf", [schema]):
                limit = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
                assert limit.get(kind["type"], "type") in kind, (name, argument)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("run", {"shell": "true", "gpu": 1}, "gpu"),
        ("log", {"tail": 10**9}, "less than or equal to 2000"),
        ("wait", {"seconds": -1}, "greater than or equal to 0"),
        ("stop", {}, "Field required"),
        ("sweep", {}, "Field required"),
        ("sweep", {"program": "train.ipynb", "parameters": {"lr": 0.1}}, "valid list"),
        ("sweep", {"program": "train.ipynb", "parameters": {"lr": []}}, "at least 1 item"),
        ("ps", {"job": ["a"]}, "string"),
        ("nonesuch", {}, "Unknown tool"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    name: str, arguments: dict[str, Any], words: str
) -> None:
    is_error, text = called(name, **arguments)
    assert is_error and words in text


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """The error that the next call of `stop` ends with."""
    errors: list[BaseException] = []

    def stop(job: str, target: str = "") -> dict[str, Any]:
        raise errors.pop()

    monkeypatch.setattr(registry, "TOOLS", {stop: registry.TOOLS[job_tools.stop]})
    yield errors


def test_an_error_names_the_next_step_for_the_target_that_was_named(
    failing: list[BaseException],
) -> None:
    failing.append(JobError("It goes on\x1b[2J.", "Look again: inv remote-ps"))
    is_error, text = called("stop", job="a", target="gpu 1")
    assert is_error and text.endswith(
        "stop: It goes on\\x1b[2J.\nLook again: inv remote-ps --target 'gpu 1'"
    )


def test_a_bug_is_no_text_for_the_model(
    failing: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    failing.append(ZeroDivisionError("a secret"))
    assert called("stop", job="a") == (True, "Error executing tool stop")
    assert "ZeroDivisionError: a secret" in caplog.text


def test_a_project_without_a_target_or_records_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "TARGET_DIR is not set" in called("push")[1]
    assert "There are no local records yet" in called("records")[1]
    assert list(tmp_path.glob("mlflow.db*")) == []
