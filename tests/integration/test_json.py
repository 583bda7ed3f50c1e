"""`--json`: each command that has it prints one object and nothing else, with the fields of docs/json.md."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from remote import api
from remote.answers import data_of
from remote.tasks import namespace
from remote.tracking.check.examine import Finding
from remote.tracking.merge import Conflict
from remote.transport.rsync_problems import Problem
from tests.conftest import ROOT, Command
from tests.integration.farm import Farm, resident_farm
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(600)

PAGES = ("docs/json.md", "docs/ja/json.md")

#: What every object may have beside what its command's row names.
EVERYWHERE = {"error", "target", "address"}

#: Typed one after another on one target: the command, the words after it, the exit code.
COMMANDS = [
    ("doctor", "", 0),
    ("sync-push", "--dry-run", 0),
    ("sync-push", "", 0),
    ("remote-setup", "", 0),
    ("remote-secrets", "", 0),
    ("remote-put", "large.bin", 0),
    ("remote-run", "src/train.py --gpus 0 --follow --pull", 0),
    ("remote-run", "--gpus 0 --follow --shell 'exit 7'", 7),
    ("remote-wait", "", 7),
    ("remote-ps", "", 0),
    ("remote-ps", "last", 0),
    ("remote-gpus", "", 0),
    ("remote-rerun", "train-", 0),
    ("remote-wait", "train-", 2),
    ("remote-wait", "", 0),
    ("remote-rerun --lost", "", 0),
    ("remote-diff", "last", 0),
    ("remote-sweep", "--dry-run src/train.py -- --lr 1,2", 0),
    ("remote-sweep", "src/train.py --gpus 0 -- --lr 1,2", 0),
    ("remote-stop", "last", 0),
    ("remote-fetch", "FIRST", 0),
    ("sync-pull", "", 0),
    ("mlflow-pull", "", 0),
    ("mlflow-merge", "other", 0),
    ("mlflow-push", "--dry-run --experiment remote-gpu-workflow", 0),
    ("mlflow-conflicts", "", 0),
    ("mlflow-check", "", 0),
    ("remote-rm", "last --force", 0),
    ("remote-prune", "--dry-run", 0),
    ("remote-prune", "--older 1s --force", 0),
    ("remote-prune", "--older 1", 2),
]


@dataclass
class Typed:
    """A command, how it ended, and its object."""

    name: str
    words: str
    expected: int
    done: Command
    answer: dict[str, Any]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, list[Typed]]]:
    """All of COMMANDS, typed."""
    with resident_farm(tmp_path_factory.mktemp("json")) as farm:
        root = farm.project.root
        empty_store(root)
        (root / "other").mkdir()
        empty_store(root / "other")
        farm.project.write("large.bin", "much")
        farm.project.write("src/train.py", "open('stray.txt', 'w').write('only here')\n")
        answers: list[Typed] = []
        for name, words, code in COMMANDS:
            first = next((each.answer["id"] for each in answers if each.name == "remote-run"), "")
            argv = [*name.split(), "--json", *shlex.split(words.replace("FIRST", first))]
            done = farm.project.inv(*argv, check=False)
            assert done.code == code, done
            answers.append(Typed(name, words, code, done, strictly(done.out)))
        yield farm, answers


def strictly(text: str) -> dict[str, Any]:
    """The one object that a text is; no NaN, no name twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    assert type(found) is dict
    return found


def rows(page: str, title: int) -> list[tuple[str, set[str]]]:
    """What the first column of a section's table says, and the fields that its last one names."""
    section = (ROOT / page).read_text("utf-8").split("\n## ")[title]
    table = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[2:]
    cells = [row.split(" | ") for row in table]
    return [(row[0].strip("`"), set(re.findall("`([a-z_]+)`", row[-1]))) for row in cells]


@pytest.mark.parametrize("page", PAGES)
def test_each_answer_has_the_fields_of_the_page_and_no_others(
    page: str, session: tuple[Farm, list[Typed]]
) -> None:
    documented, differing = dict(rows(page, 2)), {}
    assert documented.keys() == {name for name, _, _ in COMMANDS}
    for each in session[1]:
        told, error = set(each.answer), each.answer["error"]
        assert (error is None) == (each.done.code == 0)
        assert error is None or (set(error) == {"message", "next"} and error["message"]), each
        # What was refused at once has told nothing else.
        expected = documented[each.name] if each.expected != 2 else set()
        if told - EVERYWHERE != expected:
            differing[each.name, each.words] = sorted((told - EVERYWHERE) ^ expected)
    assert not differing


@pytest.mark.parametrize("page", PAGES)
def test_the_objects_in_the_answers_have_the_fields_of_the_page(
    page: str, session: tuple[Farm, list[Typed]]
) -> None:
    answers = {(each.name, each.words): each.answer for each in session[1]}
    push, wait = answers["sync-push", ""], answers["remote-wait", ""]
    pulled = answers["remote-run", "src/train.py --gpus 0 --follow --pull"]["pulled"]
    status = wait["status"]
    seen: list[Mapping[str, Any]] = [
        status,
        dict.fromkeys(answers["remote-ps", ""]["jobs"][0].keys() - status.keys()),
        push["files"],
        data_of(Problem("a", "b")),
        pulled,
        pulled["records"],
        pulled["records"]["summary"],
        answers["remote-gpus", ""]["gpus"][0],
        answers["remote-stop", "last"]["stopped"][0],
        answers["doctor", ""]["checks"][0],
        data_of(Finding("a", "b")),
        {"number": 1, "source": "", **Conflict.fields},
    ]
    assert [fields for _, fields in rows(page, 3)] == [set(each) for each in seen]


def test_every_command_with_json_is_typed_here() -> None:
    commands = {name.split()[0] for name, _, _ in COMMANDS}
    assert commands == {
        task.replace("_", "-") for task in namespace.task_names if "json" in namespace[task].takes
    }


def test_python_gives_the_same(
    session: tuple[Farm, list[Typed]], monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, answers = session
    for name, value in farm.project.env.items():
        monkeypatch.setenv(name, value)
    target = api.Target(project=farm.project.root)
    listed = strictly(farm.project.inv("remote-ps", "-j", check=False).out)
    assert data_of(target.jobs()) == listed["jobs"]
    pushed = data_of(target.push(dry_run=True))
    typed_push = strictly(farm.project.inv("sync-push", "--dry-run", "--json", check=False).out)
    assert pushed.keys() == typed_push.keys() - {*EVERYWHERE, "dry_run"}
    assert pushed["files"]["sent"] == typed_push["files"]["sent"]


def test_what_can_not_be_is_an_object_too(session: tuple[Farm, list[Typed]]) -> None:
    project = session[0].project
    for words, part in [
        (["remote-ps", "--nope", "--json"], "no flag --nope"),
        (["remote-run", "none.ipynb", "-j"], "no notebook 'none.ipynb'"),
        (["sync-push", "--json", "--target", "no-such-name"], "no-such-name"),
    ]:
        done = project.inv(*words, check=False)
        error = strictly(done.out)["error"]
        assert done.code == 2 and part in error["message"] and part in done.err
    # What follows the dashes is the program's.
    assert (
        project.inv("remote-run", "--after", "none", "--", "true", "--json", check=False).out == ""
    )
