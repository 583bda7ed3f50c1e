"""An MCP client of the SDK's talks to `python -m remote mcp` about a server behind SSH."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcp import Client, StdioServerParameters
from tests.conftest import ROOT, ProjectFolder

pytestmark = pytest.mark.timeout(300)

#: What steers a terminal, or the reader of a log: a title, a clipboard, a direction of writing.
HOSTILE = r"\033]0;title\007\033]52;c;aGk=\007\342\200\256"


@contextlib.asynccontextmanager
async def client_of(project: ProjectFolder, **env: str) -> AsyncIterator[Client]:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "remote", "mcp"],
        env={**project.env, "PYTHONPATH": str(ROOT), **env},
        cwd=project.root,
    )
    async with Client(server) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers; fails the test on an error."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """The words of a tool's error."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result
    (content,) = result.content
    return content.text  # type: ignore[union-attr]


@pytest.fixture
def quick(project: ProjectFolder) -> ProjectFolder:
    """A project whose environment is made in no time."""
    project.write("requirements.lock", "")
    project.write("train.py", "import sys\nprint('lr', sys.argv[1:])\n")
    return project


def test_a_day_with_a_client(quick: ProjectFolder) -> None:
    asyncio.run(_a_day(quick))


async def _a_day(project: ProjectFolder) -> None:
    async with client_of(project) as client:
        pushed = await call(client, "push")
        assert "train.py" in pushed["files"]["sent"] and pushed["error"] is None
        nothing = await call(client, "push", dry_run=True)
        assert nothing["files"]["sent"] == []

        started = await call(
            client, "run", program="train.py", arguments=["--lr", "0.1"], gpus=0, timeout="1h"
        )
        seen: list[str | None] = []

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            seen.append(message)

        waited = await client.call_tool(
            "wait", {"job": started["id"], "seconds": 200}, progress_callback=progress
        )
        ended = (waited.structured_content or {})["status"]
        assert (ended["id"], ended["state"], ended["timeout"]) == (started["id"], "finished", 3600)
        assert all(message and message.startswith(started["id"]) for message in seen)
        assert "lr ['--lr', '0.1']" in (await call(client, "log"))["text"]

        # Two at once, one of which goes on; what a job prints is data.
        hostile, going = await asyncio.gather(
            call(client, "run", shell=f"printf '{HOSTILE}\\n'; seq 9000", record=False, gpus=0),
            call(client, "run", shell="sleep 600", name="sleeper", record=False, gpus=0),
        )
        assert hostile["id"] != going["id"]
        await call(client, "wait", job=hostile["id"], seconds=200)
        text = (await call(client, "log", job=hostile["id"], tail=2000, most=30_000))["text"]
        assert "\\x1b]52;c;aGk=" not in text and "9000" in text and len(text) <= 30_000
        first = (await call(client, "ps", job=hostile["id"]))["jobs"][0]
        assert first["state"] == "finished"

        looked = await call(client, "wait", job="sleeper", seconds=0)
        assert looked["status"]["state"] in ("preparing", "running")
        (stopped,) = (await call(client, "stop", job="sleeper"))["stopped"]
        assert (stopped["id"], stopped["status"]["state"]) == (going["id"], "stopped")
        (again,) = (await call(client, "stop", job="sleeper"))["stopped"]
        assert again["already"] and again["status"]["state"] == "stopped"
        states = {job["id"]: job["state"] for job in (await call(client, "ps"))["jobs"]}
        assert states[started["id"]] == "finished" and states[going["id"]] == "stopped"

        pulled = await call(client, "pull")
        assert pulled["problems"] == []
        (run,) = (await call(client, "records", filter="params.lr = '0.1'"))["runs"]
        assert run["status"] == "FINISHED" and started["id"] in run.values(), run

        await _errors(client)


async def _errors(client: Client) -> None:
    """Each says what is wrong, and the next step."""
    for tool, arguments, words in [
        ("log", {"job": "nonesuch"}, "nonesuch"),
        ("stop", {"job": "nonesuch"}, "nonesuch"),
        ("run", {"shell": "true", "gpu": 1}, "gpu"),
        ("run", {"shell": "true", "timeout": "soon"}, "takes a time"),
        ("run", {"program": "train.py", "shell": "true"}, "Either"),
        ("log", {"tail": 10**9}, "less than or equal to 2000"),
        ("records", {"filter": "nonsense"}, "MLflow can't search for that"),
        ("ps", {"target": "elsewhere.invalid:proj"}, "is not known"),
    ]:
        assert words in await refused(client, tool, **arguments), tool


def test_without_a_target_it_says_what_to_do(tmp_path: Path) -> None:
    async def ask() -> None:
        async with client_of(ProjectFolder(tmp_path)) as client:
            assert "TARGET_DIR is not set" in await refused(client, "push")
            assert "No records are here yet" in await refused(client, "records")
            assert list(tmp_path.glob("mlflow.db*")) == []

    asyncio.run(ask())
