"""The project's files, each with our lines in it."""

from __future__ import annotations

import re
import subprocess

import pytest

from remote.adopt import edits
from remote.adopt.edits import (
    BEGIN,
    END,
    ManualStep,
    around_block,
    paragraphs,
    replace_block,
    template,
)
from remote.tasks import namespace
from tests.adopt.conftest import Existing
from tests.conftest import INV, ROOT


@pytest.mark.parametrize("text", ["", "a\n", "a", "a\n\n", "a\r\nb\r\n", "\ufeffé\n"])
def test_what_was_there_stays_in_front(text: str) -> None:
    added = replace_block(text, ["x", "y"])
    assert added.startswith(text)
    assert added.splitlines()[-4:] == [BEGIN, "x", "y", END]
    assert "".join(around_block(added)).strip() == text.strip()
    assert ("\r\n" in added) == ("\r\n" in text)
    assert replace_block(added, ["x", "y"]) == added


def test_a_block_is_replaced_where_it_stands() -> None:
    text = replace_block("a\n", ["old"]) + "b\n"
    assert replace_block(text, ["new"]) == f"a\n\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_half_a_block_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(ManualStep):
        replace_block(text, ["x"])


def in_block(text: str) -> list[str]:
    return text.partition(BEGIN)[2].partition(END)[0].split()


def test_only_what_a_file_lacks_is_added(existing: Existing) -> None:
    existing.write(".gitignore", "/.remote\n# mlruns/\n.env\n*.pt")
    existing.write(".rsyncignore", "big/\n.venv/\n")
    assert in_block(existing.after(".gitignore")) == [
        "data/results/fetched/",
        "mlflow.db*",
        "mlruns/",
    ]
    added = in_block(existing.after(".rsyncignore"))
    assert "__pycache__/" in added and ".venv/" not in added


def test_a_setting_that_is_there_is_not_added_again(existing: Existing) -> None:
    existing.write(
        ".env.example", "export TARGET_DIR=me@there:/x\r\n# REMOTE_PROXY=laptop\r\nMY_VAR=1"
    )
    after = existing.after(".env.example")
    assert after.startswith(
        "export TARGET_DIR=me@there:/x\r\n# REMOTE_PROXY=laptop\r\nMY_VAR=1\r\n"
    )
    assert (
        "#REMOTE_NOTIFY=\r\n" in after
        and after.count("TARGET_DIR=") == after.count("REMOTE_PROXY=") == 1
    )


def test_what_was_taken_out_of_the_block_comes_back_into_it(existing: Existing) -> None:
    existing.write(".gitignore", "a\n")
    existing.adopt()
    text = (existing.root / ".gitignore").read_text()
    existing.write(".gitignore", text.replace("mlruns/\n", "") + "z\n")
    after = existing.after(".gitignore")
    assert in_block(after)[-1] == "mlruns/" and after.endswith("\nz\n")


def test_environments_stay_here_whatever_they_are_called(existing: Existing) -> None:
    existing.write("my [env]/pyvenv.cfg", "")
    existing.write("conda/conda-meta/history", "")
    existing.write("envelope/letter.txt", "")
    existing.adopt()
    argv = ["rsync", "-an", "--out-format=%n", "--exclude-from=.rsyncignore", "./", "there/"]
    sent = subprocess.run(
        argv, cwd=existing.root, capture_output=True, text=True, check=True
    ).stdout
    assert "envelope/letter.txt" in sent and "conda" not in sent and "[env]" not in sent


def test_a_file_for_agents_keeps_what_its_owner_wrote(existing: Existing) -> None:
    own = "# Rules\n\nUse tabs.\n"
    existing.write("AGENTS.md", own)
    existing.adopt()
    after = (existing.root / "AGENTS.md").read_text()
    assert after.startswith(own + "\n<!-- >>>") and after.count("inv sync-pull") == 1
    existing.write("AGENTS.md", after.replace("Safe to repeat", "An older text") + "More.\n")
    assert existing.after("AGENTS.md") == after + "More.\n"


def test_this_project_has_the_same_file_for_agents(existing: Existing) -> None:
    assert (ROOT / "AGENTS.md").read_text() == existing.after("AGENTS.md")


def test_without_git_there_is_nothing_to_ignore(existing: Existing) -> None:
    assert ".gitignore" not in [change.name for change in existing.plan().changes]
    (existing.root / ".git").mkdir()
    assert existing.after(".gitignore") == template("gitignore")


def test_what_is_written_is_what_this_project_has() -> None:
    lines = template("rsyncignore").splitlines()
    assert [
        line for line in (ROOT / ".rsyncignore").read_text().splitlines() if line in lines
    ] == lines
    example = (ROOT / ".env.example").read_text()
    settings = [each for each in paragraphs(template("env.example")) if "=" in each]
    assert settings and [each for each in settings if each not in paragraphs(example)] == []
    of_jobs = re.findall(r"^#?((?:REMOTE|TARGET)_\w+)=", example, re.M)
    assert [name for name in of_jobs if f"{name}=" not in template("env.example")] == []


def make(existing: Existing, *words: str) -> str:
    done = subprocess.run(
        ["make", "-s", *words], cwd=existing.root, capture_output=True, text=True, check=True
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "text, found",
    [
        ("run: a b\n\techo x: y\n", {"run"}),
        ("a b : c\nd:: e\n", {"a", "b", "d"}),
        ("X := run: no\nY ::= z\nZ = q: r\n# ui: no\n", set()),
        (".PHONY: run\n$(OUT)/x: y; echo\n", {".PHONY", "$(OUT)/x"}),
    ],
)
def test_targets_are_found(text: str, found: set[str]) -> None:
    assert edits.targets(text) == found


def test_a_project_without_a_makefile_gets_one_whose_help_lists_it(existing: Existing) -> None:
    existing.adopt()
    assert re.findall(r"^  make (\S+)", make(existing), re.M) == list(edits.rules())


@pytest.mark.parametrize("name", ["Makefile", "makefile", "GNUmakefile"])
def test_targets_of_the_projects_own_stay(existing: Existing, name: str) -> None:
    existing.write(name, "all:\n\techo all\n\nrun ui: # mine\n\techo mine")
    notes = existing.plan().notes
    existing.adopt()
    assert make(existing) == "all\n" and make(existing, "run") == "mine\n"
    assert "inv sync-push" in make(existing, "-n", "sync-push")
    assert any("run, ui: they stay" in remark for remark in notes)
    assert [
        path.name for path in existing.root.iterdir() if path.name.lower().endswith("makefile")
    ] == [name]


def test_the_environment_in_the_project_comes_first(existing: Existing) -> None:
    existing.adopt()
    inv = existing.write("venv/bin/inv", '#!/bin/sh\nprintf "%s " "$@"')
    inv.chmod(0o755)
    assert make(existing, "sync-push", "ARGS=--dry-run") == "sync-push --dry-run "


def test_another_recipe_prefix_is_left_to_its_owner(existing: Existing) -> None:
    existing.write("Makefile", ".RECIPEPREFIX = >\nall:\n> echo all\n")
    plan = existing.plan()
    assert "Makefile" not in [change.name for change in plan.changes]
    assert any("RECIPEPREFIX" in remark for remark in plan.notes)


def test_an_old_block_gives_way_to_the_new_one(existing: Existing) -> None:
    existing.write("Makefile", replace_block("all:\n", ["sync-push:", "\told"]) + "last:\n")
    after = existing.after("Makefile")
    assert "\told" not in after and after.startswith("all:\n") and after.endswith("last:\n")


def test_the_rules_are_the_templates_own() -> None:
    ours = (ROOT / "Makefile").read_text()
    for name, rule in edits.rules().items():
        head, _, recipe = rule.partition("\n")
        assert re.search(rf"^{name}:.*{re.escape(head.partition('##')[2])}$", ours, re.M), name
        if name != "help":
            assert recipe.replace("REMOTE_INV", "INV") in ours, name


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
