from __future__ import annotations

import subprocess

import pytest

from remote.adopt.change import template
from remote.tasks import namespace
from tests.adopt.conftest import Existing
from tests.conftest import INV, ROOT


def inv(existing: Existing, *words: str) -> str:
    done = subprocess.run([str(INV), *words], cwd=existing.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


BARE = """\
from invoke import task


@task
def disk(c):
    print("mine")


@task
def sync_push(c):
    print("my push")
"""

NAMED = BARE.replace("invoke import task", "invoke import Collection, task").replace(
    "@task\ndef s", "@task()\ndef s"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, text",
    [
        ("tasks.py", BARE),
        ("tasks.py", NAMED + "\n\nns = Collection(disk, sync_push)\n"),
        (
            "tasks.py",
            NAMED
            + "\n\nnamespace = Collection()\nnamespace.add_task(disk)\nnamespace.add_task(sync_push)",
        ),
        ("tasks/__init__.py", BARE),
    ],
)
def test_tasks_of_the_projects_own_stay(existing: Existing, name: str, text: str) -> None:
    existing.write(name, text)
    existing.adopt()
    listed = inv(existing, "--list")
    assert all(f"  {each}" in listed for each in (*namespace.task_names, "disk"))
    assert inv(existing, "disk") == "mine\n" and inv(existing, "sync-push") == "my push\n"
    assert "Usage" in inv(existing, "remote-run", "--help")
    assert name not in [change.name for change in existing.plan().changes]


def test_a_collection_of_theirs_with_our_name_stays(existing: Existing) -> None:
    existing.write("tasks.py", NAMED + '\n\nns = Collection(disk, run=Collection("run", disk))\n')
    existing.adopt()
    assert inv(existing, "run.disk") == "mine\n"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("from celery import Celery\n", "no tasks of Invoke's"),
        ("import invoked\n", "no tasks of Invoke's"),
    ],
)
def test_a_file_that_is_something_else_is_left_alone(
    existing: Existing, text: str, reason: str
) -> None:
    existing.write("tasks.py", text)
    plan = existing.plan()
    assert "tasks.py" not in [change.name for change in plan.changes]
    assert any(reason in remark for remark in plan.notes)


def test_the_way_beside_it_that_is_named_works(existing: Existing) -> None:
    existing.write("tasks.py", "from celery import Celery\n")
    existing.write("remote_tasks.py", "from remote.tasks import namespace\n")
    assert "sync-push" in inv(existing, "-c", "remote_tasks", "--list")


def test_what_is_written_is_what_the_template_has() -> None:
    ours = (ROOT / "tasks.py").read_text().splitlines()
    assert [line for line in template("tasks.py").splitlines() if line not in ours] == []
