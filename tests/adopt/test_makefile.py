from __future__ import annotations

import re
import subprocess

import pytest

from remote.adopt import block, makefile
from tests.adopt.conftest import Existing
from tests.conftest import ROOT


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
    assert makefile.targets(text) == found


def test_a_project_without_a_makefile_gets_one_whose_help_lists_it(existing: Existing) -> None:
    existing.adopt()
    assert re.findall(r"^  make (\S+)", make(existing), re.M) == list(makefile.rules())


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
    existing.write("Makefile", block.replace("all:\n", ["sync-push:", "\told"]) + "last:\n")
    after = existing.after("Makefile")
    assert "\told" not in after and after.startswith("all:\n") and after.endswith("last:\n")


def test_the_rules_are_the_templates_own() -> None:
    ours = (ROOT / "Makefile").read_text()
    for name, rule in makefile.rules().items():
        head, _, recipe = rule.partition("\n")
        assert re.search(rf"^{name}:.*{re.escape(head.partition('##')[2])}$", ours, re.M), name
        if name != "help":
            assert recipe.replace("REMOTE_INV", "INV") in ours, name
