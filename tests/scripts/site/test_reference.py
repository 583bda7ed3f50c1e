"""The reference and the code say the same: what is made from it, and what is written by hand."""

from __future__ import annotations

import ast
import copy
import re
import shlex
import signal
from functools import partial
from pathlib import Path

import pytest

from bench.__main__ import MEASUREMENTS
from remote.agent.environments.uv import LOCK_FILES
from remote.job.status import RUN_STATUS, STATES
from remote.programs.program import find
from remote.target_settings import KEYS
from remote.tasks import namespace
from remote.tasks.arguments import TaskParser
from remote.tasks.transfer_report import NOT_ALL
from remote.tracking.schema import TABLES
from scripts.site import json_objects, reference
from tests.conftest import ROOT
from tests.real.venvs import MINORS

FOLDERS = [ROOT / "docs", ROOT / "docs/ja"]

each_language = pytest.mark.parametrize("folder", FOLDERS, ids=["en", "ja"])


def sources(*folders: str) -> str:
    """The toolkit's code below these folders of `remote/`."""
    found = (
        path for folder in folders for path in sorted((ROOT / "remote" / folder).rglob("*.py"))
    )
    return "\n".join(path.read_text("utf-8") for path in found)


def first_cells(page: Path) -> set[str]:
    """What stands as code in the first cells of a page's tables."""
    rows = re.findall(r"^\| (.*?) \|", page.read_text("utf-8"), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_command_is_listed_with_its_flags_and_what_they_mean() -> None:
    text = reference.commands()
    assert re.findall(r"^### inv (.*)$", text, re.MULTILINE) == sorted(namespace.task_names)
    for typed in ("PROGRAM", "-f, --follow", "--gpus VALUE", "--no-record", "-t, --target VALUE"):
        assert re.search(rf"^\| `{typed}` \| \w.+ \|$", text, re.MULTILINE), typed


def test_each_object_of_json_is_described_with_the_fields_that_the_page_names() -> None:
    section = (ROOT / "docs/json.md").read_text("utf-8").split("\n## ")[3]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)[1:]
    named = {name: set(re.findall("`([a-z_]+)`", fields)) for name, fields in rows if "`" in fields}
    # What `remote.answers` and the task add.
    added = {"problem": {"text"}, "conflict": {"number", "source"}}
    assert {
        name: {*json_objects.fields_of(kind), *added.get(name, ())}
        for name, kind in json_objects.OBJECTS.items()
    } == named
    text = json_objects.described()
    assert "| `started` | number or null | When its worker began. |" in text
    assert "| `sent` | list of text |  |" in text


def test_every_flag_is_explained() -> None:
    tasks = [namespace[name] for name in namespace.task_names]
    silent = [
        (task.name, flag.typed) for task in tasks for flag in reference.flags(task) if not flag.help
    ]
    assert silent == []


def test_the_examples_are_lines_that_the_documents_type() -> None:
    assert "inv remote-run train.ipynb --epoch 1000" not in reference.examples("remote-ru")
    assert "inv remote-logs last --tail 20" in reference.examples("remote-logs")
    assert all(" " * 2 not in line for line in reference.examples("remote-sweep"))


@pytest.mark.parametrize("name", sorted(namespace.task_names))
def test_every_tasks_help_has_an_example_that_the_task_takes(name: str) -> None:
    task = copy.copy(namespace[name])
    task.help = dict(task.help)
    lines = reference.own_examples(task)
    for line in lines:
        _, typed, *words = shlex.split(line)
        parser = TaskParser("", "", task.get_arguments(), task.options, several=task.several)
        names_program = "parameters" in task.takes
        call = parser.read(words, partial(find, ROOT) if names_program else None)
        assert typed == name and call.count == len(words)
    assert lines


@each_language
def test_the_page_of_states_has_every_state_and_every_reason(folder: Path) -> None:
    told = first_cells(folder / "states.md")
    code = sources("agent/worker", "agent/launchers")
    reasons = set(re.findall(r'Outcome\([^"]*?"[^"]*", "([a-z-]+)"\)', code))
    reasons |= set(re.findall(r'^    \(r?"[^\n]*, "([a-z]+)"\),$', code, re.MULTILINE))
    assert {"disk", "toolkit", "preempted"} <= reasons
    assert {*STATES, *reasons, "error", "timeout", "idle", "oom", "oom-gpu", "refused"} <= told
    text = (folder / "states.md").read_text("utf-8")
    for state, status in RUN_STATUS.items():
        assert re.search(rf"^\| `{state}` \| .* \| {status} \|$", text, re.MULTILINE)


@each_language
def test_the_page_of_states_has_every_exit_code_and_who_ends_with_not_all(folder: Path) -> None:
    text = (folder / "states.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([0-9]+) \| (.*) \|$", text, re.MULTILINE))
    codes, calls = exits()
    assert codes == {*map(int, rows)}
    ending = {"exit_unless_all"}
    while more := {name for name, called in calls.items() if called & ending} - ending:
        ending |= more
    commands = {name for name in namespace.task_names if name.replace("-", "_") in ending}
    assert commands == set(re.findall("`([a-z]+-[a-z]+)`", rows[str(NOT_ALL)]))


def exits() -> tuple[set[int], dict[str, set[str]]]:
    """The codes that tasks end with themselves, and what each of their functions calls."""
    codes, calls = set(), dict[str, set[str]]()
    for path in sorted((ROOT / "remote/tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                called = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
                calls[node.name] = {getattr(f, "id", getattr(f, "attr", "")) for f in called}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Exit":
                codes |= {ast.unparse(word.value) for word in node.keywords if word.arg == "code"}
    # What isn't a number is a job's code, or another program's.
    words = {"NOT_ALL": str(NOT_ALL), "128 + signal.SIGPIPE": str(128 + signal.SIGPIPE)}
    numbers = {words.get(code, code) for code in codes}
    return {int(number) for number in numbers if number.isdigit()}, calls


@each_language
def test_the_page_of_tags_has_every_tag_and_no_other(folder: Path) -> None:
    code = sources("agent/tracking", "runtime", "tracking")
    used = set(re.findall(r'"(remote\.[a-z_]+(?:\.[a-z_]+)?)"', code))
    # What a page of metrics is called, and the attribute of a study.
    assert first_cells(folder / "tags.md") == {tag for tag in used if tag != "remote.runtime"}


@each_language
def test_the_page_of_variables_has_every_variable_of_a_job(folder: Path) -> None:
    code = sources("agent/worker", "agent/launchers", "agent/tracking")
    set_for_jobs = set(re.findall(r'"((?:REMOTE_JOB|MASTER|PYTHONU)[A-Z_0-9]*)"(?::|\])', code))
    assert {"REMOTE_JOB_ID", "REMOTE_JOB_RUN", "MASTER_ADDR"} <= set_for_jobs
    told = set(
        re.findall(r"`([A-Z][A-Z_0-9]+)`", (folder / "job-environment.md").read_text("utf-8"))
    )
    assert set_for_jobs - told == set()


@each_language
def test_the_page_of_servers_has_every_key_of_a_target(folder: Path) -> None:
    assert set(KEYS) - first_cells(folder / "servers.md") == set()


@each_language
def test_lock_files_are_named_in_the_order_in_which_they_are_looked_for(folder: Path) -> None:
    text = (folder / "jobs.md").read_text("utf-8")
    order = [*LOCK_FILES]
    assert re.search(".{1,5}".join(f"`{re.escape(name)}`" for name in order), text)


@each_language
def test_the_page_of_versions_names_the_oldest_the_newest_and_every_rule(folder: Path) -> None:
    text = (folder / "compatibility.md").read_text("utf-8")
    assert re.search(rf"\b{MINORS[0]} (?:to|から) {re.escape(MINORS[-1])} \|", text)
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    [oldest] = re.findall(r'^ +"mlflow>=([\d.]+)",$', pyproject, re.MULTILINE)
    assert re.search(rf"\| {re.escape(oldest)} (?:or newer|以上) \|", text)
    rules = {table.rule for table in TABLES}
    assert rules <= first_cells(folder / "compatibility.md")
    for rule in rules:
        assert f"| `{rule}` |" in reference.mlflow_tables()


@each_language
def test_every_measurement_has_its_figures(folder: Path) -> None:
    assert first_cells(folder / "benchmarks.md") == set(MEASUREMENTS)


def test_the_figures_are_the_same_in_both_languages() -> None:
    figures = [
        re.findall(
            r"^\| `(\w+)` .*\| ([^|]+) \| ([^|]+) \|$", page.read_text("utf-8"), re.MULTILINE
        )
        for page in (folder / "benchmarks.md" for folder in FOLDERS)
    ]
    english, japanese = (
        [(name, re.findall(r"[\d./]+", ratio), goal) for name, ratio, goal in rows]
        for rows in figures
    )
    assert english == japanese != []


@each_language
def test_every_message_of_the_page_of_troubles_is_one_that_the_code_says(folder: Path) -> None:
    text = (folder / "troubleshooting.md").read_text("utf-8")
    start = [*re.finditer(r"^## ", text, re.MULTILINE)][1].start()
    table = re.split(r"^## ", text[start + 3 :], flags=re.MULTILINE)[0]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(messages) > 10
    code = sources("")
    parts = [part.strip() for message in messages for part in message.split("…")]
    assert [part for part in parts if part not in code] == []
