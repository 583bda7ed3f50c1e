"""An MCP client of the SDK's talks to `python -m remote mcp` about a server behind SSH."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.conftest import ROOT, ProjectFolder
from tests.integration.reader import commands

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
    project.write("src/train.py", "import sys\nprint('lr', sys.argv[1:])\n")
    toml = project.root / "pyproject.toml"
    places = f'here = "{project.env["TARGET_DIR"]}"\ndead = "elsewhere.invalid:proj"\n'
    groups = 'lost = ["dead"]\n'
    text = f"[tool.remote.targets]\n{places}[tool.remote.groups]\n{groups}"
    toml.write_text(f"{toml.read_text('utf-8')}\n{text}", "utf-8")
    return project


def test_a_day_with_a_client(quick: ProjectFolder) -> None:
    asyncio.run(_a_day(quick))


async def _a_day(project: ProjectFolder) -> None:
    async with client_of(project) as client:
        answers = {"sync-push": await call(client, "push")}
        assert "src/train.py" in answers["sync-push"]["files"]["sent"]
        nothing = await call(client, "push", dry_run=True)
        assert nothing["files"]["sent"] == []

        started = await call(
            client, "run", program="src/train.py", arguments=["--lr", "0.1"], gpus=0, timeout="1h"
        )
        seen: list[str | None] = []

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            seen.append(message)

        waited = await client.call_tool(
            "wait", {"job": started["id"], "seconds": 200}, progress_callback=progress
        )
        answers |= {"remote-run": started, "remote-wait": waited.structured_content or {}}
        ended = answers["remote-wait"]["status"]
        assert (ended["id"], ended["state"], ended["timeout"]) == (started["id"], "finished", 3600)
        assert all(message and message.startswith(started["id"]) for message in seen)
        logged = await call(client, "log")
        assert logged["id"] == started["id"] and "lr ['--lr', '0.1']" in logged["text"]

        await _two_at_once(client)
        await _a_sweep(client)
        await _all_targets(client)
        states = {job["id"]: job["state"] for job in (await call(client, "ps"))["jobs"]}
        assert states[started["id"]] == "finished" and "stopped" in states.values()

        answers["sync-pull"] = await call(client, "pull")
        assert answers["sync-pull"]["problems"] == []
        (run,) = (await call(client, "records", filter="params.lr = '0.1'"))["runs"]
        assert run["status"] == "FINISHED" and run["tags.remote.job"] == started["id"]

        await _errors(client)
    _assert_commands_answer_the_same(project, answers)


async def _two_at_once(client: Client) -> None:
    """One that goes on until it is stopped, and one whose log is data, whatever it holds."""
    hostile, going = await asyncio.gather(
        call(client, "run", shell=f"printf '{HOSTILE}\\n'; seq 9000", record=False, gpus=0),
        call(client, "run", shell="sleep 600", name="sleeper", record=False, gpus=0),
    )
    assert hostile["id"] != going["id"]
    await call(client, "wait", job=hostile["id"], seconds=200)
    text = (await call(client, "log", job=hostile["id"], tail=2000, most=30_000))["text"]
    assert "\n9000\n" in text and len(text) <= 30_000
    (job,) = (await call(client, "ps", job=hostile["id"]))["jobs"]
    assert job["state"] == "finished"

    looked = await call(client, "wait", job="sleeper", seconds=0)
    assert looked["status"]["state"] in ("preparing", "running")
    (stopped,) = (await call(client, "stop", job="sleeper"))["stopped"]
    assert (stopped["id"], stopped["status"]["state"]) == (going["id"], "stopped")
    (again,) = (await call(client, "stop", job="sleeper"))["stopped"]
    assert again["already"] and again["status"]["state"] == "stopped"


async def _a_sweep(client: Client) -> None:
    """Its jobs as a whole: planned, started, waited for, run again, ended."""
    words = {"program": "src/train.py", "arguments": ["--lr", "1,2"], "gpus": 0, "record": False}
    planned = await call(client, "sweep", dry_run=True, **words)
    assert [job["values"] for job in planned["jobs"]] == [{"lr": "1"}, {"lr": "2"}]
    started = await call(client, "sweep", **words)
    assert started["error"] is None and all(job["id"] for job in started["jobs"])
    waited = await call(client, "wait", job=started["sweep"], seconds=200)
    assert waited["states"] == {"finished": 2} and waited["error"] is None
    again = await call(client, "rerun", job=started["sweep"])
    assert [job["values"] for job in again["jobs"]] == [{"lr": "1"}, {"lr": "2"}]
    stopped = await call(client, "stop", job=again["sweep"])
    assert len(stopped["targets"][0]["stopped"]) == 2 and stopped["error"] is None
    listed = await call(client, "ps", job=again["sweep"])
    assert {job["id"] for job in listed["targets"][0]["jobs"]} == {
        job["id"] for job in again["jobs"]
    }
    assert "is a sweep of 2 jobs" in await refused(client, "log", job=started["sweep"])


async def _all_targets(client: Client) -> None:
    """One of them gives no answer: that is told, and done on the other."""
    listed = await call(client, "ps", target="all")
    assert [bool(each["error"]) for each in listed["targets"]] == [False, True]
    assert listed["error"] is None and listed["targets"][0]["jobs"]
    pushed = await call(client, "push", target="all", dry_run=True)
    assert pushed["error"]["message"] == "All but dead was pushed."
    pulled = await call(client, "pull", target="all", dry_run=True)
    assert pulled["error"]["message"] == "All but dead was pulled."
    started = await call(client, "run", shell="exit 7", target="all", record=False, gpus=0)
    waited = await call(client, "wait", job=started["id"], seconds=200)
    assert f"{started['id']} failed" in waited["error"]["message"]
    again = await call(client, "rerun", job=started["id"])
    assert again["id"] != started["id"]


def _assert_commands_answer_the_same(
    project: ProjectFolder, answers: dict[str, dict[str, Any]]
) -> None:
    """The commands of the document, on the same target; a tool of MCP's exports nothing."""
    said: dict[str, dict[str, Any]] = {}
    for line in commands((ROOT / "docs/agents.md").read_text("utf-8")):
        _, name, *words = shlex.split(line)
        done = project.inv(name, *words)
        if "--json" in words:
            said[name] = json.loads(done.out)
    assert said.keys() == answers.keys()
    for name, answer in answers.items():
        assert answer.keys() == said[name].keys() - {"export"}, name
        assert answer["error"] is None and answer["target"] == said[name]["target"]


async def _errors(client: Client) -> None:
    """Each says what is wrong, and the next step."""
    for tool, arguments, words in [
        ("log", {"job": "nonesuch"}, "nonesuch"),
        ("stop", {"job": "$(reboot)\x1b[2J"}, "$(reboot)\\x1b[2J"),
        ("log", {"target": "all"}, "stands for several targets"),
        ("ps", {"target": "dead"}, "is not known"),
        ("push", {"target": "lost"}, "is not known"),
        ("sweep", {"program": "src/train.py", "parameters": {"lr": [1]}}, "is a script"),
        ("rerun", {"job": "nonesuch"}, "nonesuch"),
        ("run", {"shell": "true", "timeout": "soon"}, "takes a time"),
        ("run", {"program": "src/train.py", "shell": "true"}, "Either"),
        ("records", {"filter": "nonsense"}, "MLflow can't search for that"),
        ("ps", {"target": "elsewhere.invalid:proj"}, "is not known"),
    ]:
        assert words in await refused(client, tool, **arguments), tool
