"""A notebook's parameters as flags, typed into a real `inv`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from remote.errors import ConfigError, RemoteError
from remote.tasks.arguments import Call
from remote.tasks.declare import command
from remote.tasks.exits import exit_on_error
from remote.tasks.own_parser import place_of
from tests.conftest import Command, ProjectFolder, make_project

PARAMETERS = """epoch = 10  # how often
lr = 0.1
batch_size: int = 8  # images at once
shuffle = True
quiet = False
name = 'digits'
sizes = [1, 2]
options = {}
seed = None
n = 3
target = 'label'
output = 'x'
_hidden = 1
エポック = 1
"""

#: The real flags, on a task that prints what it was given instead of running it.
STUB = """
import json
from invoke.tasks import task
from remote.tasks.declare import command
from remote.tasks.own_parser import OwnParserTask

@command()
def broken(c):
    raise ValueError("\\x1b[2J mysql://me:hunter2@host/db")

@task(klass=OwnParserTask, positional=["notebook"], iterable=["tag"])
def run(c, notebook, target="", output="", follow=False, n_best=1, tag=None, parameters=None):
    print(json.dumps([parameters, target, output, follow, n_best, tag or []]))

@task
def other(c):
    print("other")
"""


def write_notebook(project: ProjectFolder, source: str, name: str = "train.ipynb") -> None:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    text = json.dumps({"nbformat": 4, "metadata": {}, "cells": [cell]})
    project.write(f"src/notebooks/{name}", text)


@pytest.fixture
def real(tmp_path: Path) -> ProjectFolder:
    """A project with the real tasks, and a notebook. No server is known to it."""
    project = make_project(tmp_path / "project")
    write_notebook(project, PARAMETERS)
    return project


@pytest.fixture
def stub(real: ProjectFolder) -> ProjectFolder:
    """The same with a task that only shows its values."""
    real.write("tasks.py", STUB)
    return real


def refused(command: Command) -> str:
    """What was said, by a command that failed as it should: shortly, and without a traceback."""
    assert command.code not in (0, None), command.text
    assert "Traceback" not in command.text and command.out == "", command.text
    return command.err


def test_values_arrive_as_they_were_typed(stub: ProjectFolder) -> None:
    hostile = 'it\'s "q" $(touch pwned) `x` \\ ' + "x " * 50_000
    words = ["--name", hostile, "--lr=-.5", "--no-shuffle", "--target", "--epoch"]
    said = json.loads(stub.inv("run", "train.ipynb", *words, "--tag=--c").out)
    assert said == [
        {"name": hostile, "lr": -0.5, "shuffle": False},
        "--epoch",
        "",
        False,
        1,
        ["--c"],
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epcoh", "3"], "Did you mean epoch"),
        (["--n-best", "many"], "--n-best takes a number, not 'many'"),
        (["another"], "inv run does not take 'another'"),
        (["epoch=3"], "is a flag, --epoch 3"),
        (["run", "train.ipynb"], "One call of inv takes one run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_told(stub: ProjectFolder, words: list[str], expected: str) -> None:
    assert expected in refused(stub.inv("run", "train.ipynb", *words, check=False))
    assert not (stub.root / ".remote").exists(), "nothing is changed"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["logs"], "Did you mean remote-logs?"),
        (["remote-rnu"], "remote-run"),
        (["sync-pul", "--dry-run"], "sync-pull"),
        (["xyzzy"], "inv --list"),
        (["sync-push", "--dryrun"], "Did you mean --dry-run?"),
        (["sync-push", "xyzzy"], "inv sync-push does not take 'xyzzy'"),
        (["sync-push", "-n", "remote-ps", "-a", "job", "xyzzy"], "inv remote-ps does not take"),
    ],
    ids=str,
)
def test_a_mistyped_task_is_told_with_what_was_meant(
    real: ProjectFolder, words: list[str], meant: str
) -> None:
    assert meant in refused(real.inv(*words, check=False))


def test_a_word_behind_the_dashes_is_no_second_call(real: ProjectFolder) -> None:
    said = refused(real.inv("remote-run", "train.ipynb", "--", "remote-run", check=False))
    assert "One call of inv" not in said


def test_the_notebook_may_be_a_path(stub: ProjectFolder) -> None:
    for name in ("train", "src/notebooks/train.ipynb", "./src/notebooks/train.ipynb"):
        assert json.loads(stub.inv("run", name, "--epoch", "2").out)[0] == {"epoch": 2}


def test_invokes_own_flags_may_stand_in_front(stub: ProjectFolder) -> None:
    said = stub.inv("--echo", "--pty", "run", "train.ipynb", "--epoch", "2").out
    assert json.loads(said)[0] == {"epoch": 2}


def test_another_task_may_follow(stub: ProjectFolder) -> None:
    said = stub.inv("run", "train.ipynb", "--epoch", "2", "other").out.splitlines()
    assert json.loads(said[0])[0] == {"epoch": 2} and said[1] == "other"


def test_flags_of_a_task_that_follows_are_its_own(stub: ProjectFolder) -> None:
    code = STUB + "\n@task\ndef third(c, speed=1):\n    print('speed', speed)\n"
    stub.write("tasks.py", code)
    said = stub.inv("run", "train.ipynb", "--epoch", "2", "third", "--speed", "7").out
    assert "speed 7" in said


def test_below_a_folder_of_the_project_it_works_too(stub: ProjectFolder) -> None:
    below = ProjectFolder(stub.root / "src" / "notebooks", stub.env)
    assert json.loads(below.inv("run", "train.ipynb", "--epoch", "2").out)[0] == {"epoch": 2}


def test_another_task_may_call_it_from_python(stub: ProjectFolder) -> None:
    code = STUB + "\n@task\ndef nightly(c):\n    run(c, 'a.ipynb', parameters={'epoch': 9})\n"
    stub.write("tasks.py", code)
    assert json.loads(stub.inv("nightly").out)[0] == {"epoch": 9}
    said = stub.inv("run", "train.ipynb", "--epoch", "2", "nightly").out.splitlines()
    assert [json.loads(line)[0] for line in said] == [{"epoch": 2}, {"epoch": 9}]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}'])
def test_a_notebook_that_can_not_be_read_is_told(real: ProjectFolder, content: str) -> None:
    real.write("src/notebooks/bad.ipynb", content)
    said = refused(real.inv("run", "bad.ipynb", check=False))
    assert "bad.ipynb" in said and "can't be read" in said
    assert len(said.strip().splitlines()) <= 2


def test_a_notebook_that_can_not_be_read_breaks_no_other_command(real: ProjectFolder) -> None:
    real.write("src/notebooks/bad.ipynb", "{")
    assert "remote-run" in real.inv("--list").out
    assert "--target" in real.inv("--help", "sync-push").out


# What is refused


@pytest.mark.parametrize("task", ["run", "remote-run"])
def test_a_notebook_that_is_not_there_is_told_with_the_nearest(
    real: ProjectFolder, task: str
) -> None:
    said = refused(real.inv(task, "trian.ipynb", "--epoch", "3", check=False))
    assert "'trian.ipynb'" in said and "train.ipynb" in said
    assert not (real.root / ".remote").exists()


def test_flags_in_front_of_the_notebook_are_refused(real: ProjectFolder) -> None:
    refused(real.inv("run", "--epoch", "3", "train.ipynb", check=False))
    assert not (real.root / ".remote").exists()


@pytest.mark.parametrize("task", ["run", "remote-run"])
def test_without_a_notebook_it_is_told(real: ProjectFolder, task: str) -> None:
    said = refused(real.inv(task, check=False))
    assert "train.ipynb" in said


# Help


@pytest.mark.parametrize(
    "words",
    [
        ("remote-run", "train.ipynb", "--help"),
        ("--help", "remote-run", "train.ipynb"),
        ("-h", "run", "train.ipynb"),
        ("run", "train", "--help"),
    ],
    ids=" ".join,
)
def test_the_help_lists_the_parameters(real: ProjectFolder, words: tuple[str, ...]) -> None:
    said = " ".join(real.inv(*words).out.split())
    assert "--epoch" in said and "how often (int, default: 10)" in said
    assert "--batch-size" in said and "images at once (int, default: 8)" in said
    assert "--no-shuffle" in said and "(bool, default: True)" in said
    assert "--n=" in said.replace("--n ", "--n=") and "(default: None)" in said
    assert "parameter:" not in said


@pytest.mark.parametrize("words", [("--help", "remote-run"), ("remote-run", "--help")])
def test_help_without_a_notebook_shows_the_tasks_own_flags(
    real: ProjectFolder, words: tuple[str, ...]
) -> None:
    said = real.inv(*words).out
    assert "--target" in said and "--follow" in said and "\n  --epoch" not in said


@pytest.mark.parametrize("task", ["run", "remote-logs", "remote-stop"])
def test_help_is_never_taken_for_a_notebook_or_a_job(real: ProjectFolder, task: str) -> None:
    for flag in ("--help", "-h"):
        assert "Usage:" in real.inv(task, flag).out


def test_help_for_a_parameter_called_like_a_flag(real: ProjectFolder) -> None:
    assert "--parameter-target" in real.inv("remote-run", "train.ipynb", "--help").out


def test_the_list_of_tasks_is_whole(real: ProjectFolder) -> None:
    said = real.inv("--list").out
    for name in ("sync-push", "sync-pull", "remote-run", "remote-ps", "remote-logs", "remote-stop"):
        assert name in said
    for name in ("run", "format", "ui"):
        assert f" {name} " in said


# The parts


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["inv", "--list"], None),
        (["inv", "sync-push"], None),
        (["inv", "remote-run"], 1),
        (["inv", "remote-run", "a", "--b"], 1),
        (["inv", "--echo", "sync-push", "--dry-run", "remote-run", "a"], 4),
        (["inv", "run", "remote-run"], None),
        (["inv", "toolkit.remote-run", "a"], 1),
        (["inv", "--complete", "--", "inv", "remote-run", "a"], None),
    ],
)
def test_a_tasks_words_are_those_behind_its_name(argv: list[str], expected: int | None) -> None:
    import remote.tasks  # noqa: F401

    assert place_of("remote-run", argv) == expected


# How tasks end


@pytest.mark.parametrize("kind", [RemoteError, ConfigError])
def test_an_error_for_the_user_becomes_an_exit(kind: type[RemoteError]) -> None:
    @exit_on_error
    def body() -> None:
        raise kind("What is wrong.", "What to do.")

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 2 and caught.value.message == "What is wrong.\nWhat to do."


def test_ctrl_c_becomes_130() -> None:
    @exit_on_error
    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 130


def test_a_bug_stays_a_bug() -> None:
    @exit_on_error
    def body() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        body()


def test_a_traceback_is_escaped_and_without_passwords(stub: ProjectFolder) -> None:
    err = stub.inv("broken", check=False).err
    assert "Traceback" in err and r"ValueError: \x1b[2J mysql://me:***@host/db" in err
    assert "\x1b" not in err and "hunter2" not in err


def test_a_body_keeps_its_name_words_and_result() -> None:
    @exit_on_error
    def body(a: int, *, b: int) -> int:
        """What it does."""
        return a + b

    assert (body(1, b=2), body.__name__, body.__doc__) == (3, "body", "What it does.")


def test_a_servers_words_in_an_error_do_not_steer_the_terminal() -> None:
    @exit_on_error
    def fail() -> None:
        raise RemoteError("It says: \x1b[2J\r", "Look at \u202eit.")

    @exit_on_error
    def end() -> None:
        raise Exit("job failed (\x1b]0;owned\x07)", code=7)

    with pytest.raises(Exit) as caught:
        fail()
    assert caught.value.message == "It says: \\x1b[2J\\r\nLook at \\u202eit."
    with pytest.raises(Exit) as caught:
        end()
    assert caught.value.message == "job failed (\\x1b]0;owned\\x07)" and caught.value.code == 7


def test_an_exit_without_words_keeps_its_code() -> None:
    @exit_on_error
    def body() -> None:
        raise Exit(code=3)

    with pytest.raises(Exit) as caught:
        body()
    assert caught.value.code == 3 and not caught.value.message


def test_what_may_come_several_times_is_needed_once_unless_it_has_a_default() -> None:
    def put(c: object, file: list[str]) -> None: ...

    def stop(c: object, job: list[str] | None = None) -> None: ...

    needed = command(positional=["file"], iterable=["file"], help={"file": "what goes"})(put)
    with pytest.raises(RemoteError, match=r"inv put needs FILE: what goes\.\ninv put FILE \.\.\."):
        needed._check(needed.get_arguments(), Call(), [])
    free = command(positional=["job"], iterable=["job"])(stop)
    free._check(free.get_arguments(), Call(), [])
