"""`make setup`: a clone becomes a project of one's own, whatever it is called now."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.errors import ConfigError
from scripts.setup import changes, locks, pyproject, toolkit
from scripts.setup.follow import Renaming, title
from scripts.setup.values import Values, refuse_taken
from scripts.sshd import PrivateSshd
from tests.conftest import ROOT, Command
from tests.research import environment
from tests.research.conftest import Laboratory, Make
from tests.research.researcher import Researcher

TREADSTONE = Values("Treadstone", "Jason Bourne", "jason@bourne.com", "treadstone")
GIVEN = {
    "project_name": "Treadstone",
    "your_name": "Jason Bourne",
    "your_email": "jason@bourne.com",
    "package_name": "treadstone",
}

#: What the package is called here: these tests hold in a project that was renamed, too.
PRESENT = pyproject.present(changes.read(ROOT / "pyproject.toml"))[1]


# Values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_name", "リモート実験"),
        ("project_name", "two words"),
        ("project_name", "-x"),
        ("project_name", "x_"),
        ("project_name", "a/b"),
        ("your_name", "two\nlines"),
        ("your_name", "bell\a"),
        ("your_email", "jason"),
        ("your_email", "a@b@c"),
        ("your_email", "@bourne.com"),
        ("your_email", "jason@"),
        ("your_email", "a b@c.d"),
        ("your_email", "a@b.c, d@e.f"),
        ("your_email", "a@b\nBcc: c@d"),
        ("package_name", "class"),
        ("package_name", "Treadstone"),
        ("package_name", "2x"),
        ("package_name", "my-package"),
        ("package_name", "a.b"),
        ("package_name", "実験"),
        ("package_name", "../x"),
        ("package_name", "_x"),
    ],
)
def test_odd_values_are_refused_with_the_rule(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as told:
        Values.of({**GIVEN, name: value})
    assert told.value.message.startswith(f"{name}={value!r}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_name", "a"),
        ("project_name", "My.Project-2_x"),
        ("your_name", """O'Brien "Bob" \\ & / $HOME `x` 山田太郎"""),
        ("your_email", "first.last+tag@sub.example.org"),
        ("package_name", "a_b2"),
    ],
)
def test_what_people_and_projects_are_called_is_taken(name: str, value: str) -> None:
    assert value in Values.of({**GIVEN, name: value}).__dict__.values()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="wants your_email, package_name too") as told:
        Values.of({**GIVEN, "your_email": " ", "package_name": ""})
    assert 'package_name="treadstone"' in told.value.hint


@pytest.mark.parametrize(
    "package",
    ["json", "remote", "tests", "scripts", "data", "config", "docs", "model", "notebooks"]
    + ["mlflow", "numpy", "sklearn", "torch", "jupyterlab", "yaml", "tasks", "train"],
)
def test_names_that_others_have_are_refused(package: str) -> None:
    with pytest.raises(ConfigError, match="has that name"):
        refuse_taken(Values("p", "n", "e@f", package), ROOT, PRESENT)


def test_a_project_is_not_called_like_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="depends on"):
        refuse_taken(Values("Scikit_Learn", "n", "e@f", "free"), ROOT, PRESENT)
    refuse_taken(Values("p", "n", "e@f", PRESENT), ROOT, PRESENT)


# pyproject.toml


PYPROJECT = """\
[build-system]
requires = ["hatchling"]

[project]  # about
name = "remote-gpu-workflow"
version = "0.1.0"
description = "Push a project to a GPU server over rsync."
dependencies = [
    "name>=1",  # name = "x"
]

[tool.x]
name = "stays"
"""


def loaded(text: str) -> dict:
    return pyproject.tomllib.loads(text)


def test_pyproject_says_whose_it_is() -> None:
    text = pyproject.renamed(PYPROJECT, TREADSTONE)
    found = loaded(text)
    assert found["project"] == {
        **loaded(PYPROJECT)["project"],
        "name": "Treadstone",
        "description": "Treadstone",
        "authors": [{"name": "Jason Bourne", "email": "jason@bourne.com"}],
    }
    assert found["tool"] == {"x": {"name": "stays"}, "template": {"package": "treadstone"}}
    assert '# name = "x"' in text
    assert pyproject.present(text) == ("Treadstone", "treadstone")
    assert pyproject.renamed(text, TREADSTONE) == text


@pytest.mark.parametrize("name", ["""O'Brien "B" \\ & \\1 $x""", "山田太郎", "a]b # c", "Éric = ["])
def test_any_name_is_data(name: str) -> None:
    text = pyproject.renamed(PYPROJECT, Values("p", name, "a@b.c", "q"))
    again = pyproject.renamed(text, Values("p2", name, "a@b.d", "q2"))
    assert loaded(again)["project"]["authors"] == [{"name": name, "email": "a@b.d"}]
    assert loaded(again)["tool"]["template"]["package"] == "q2"


def test_what_was_written_since_stays() -> None:
    others = 'authors = [\n    { name = "A" },\n    { name = "B]" },\n]\n'
    text = PYPROJECT.replace('version = "0.1.0"\n', 'version = "0.1.0"\n' + others)
    text = text.replace("Push a project to a GPU server over rsync.", "What we measure")
    found = loaded(pyproject.renamed(text, TREADSTONE))["project"]
    assert [author["name"] for author in found["authors"]] == ["Jason Bourne", "B]"]
    assert found["description"] == "What we measure"


def test_a_pyproject_that_can_not_be_changed_is_told() -> None:
    with pytest.raises(ConfigError, match="can't change"):
        pyproject.renamed('project = { name = "x", version = "1" }\n', TREADSTONE)
    for text in ("[project]\nversion = '1'\n", "[project\n"):
        with pytest.raises(ConfigError, match="can't be read"):
            pyproject.present(text)


# What follows


RENAMING = Renaming("own", "new", {"part", "deep"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from own import part", "from new import part"),
        ("from own.part import x as own", "from new.part import x as own"),
        ("    import own", "    import new"),
        ("import a, own, b; own.part()", "import a, new, b; new.part()"),
        ("import own.part as own_part", "import new.part as own_part"),
        ("import owner, known", "import owner, known"),
        ("from elsewhere import own", "from elsewhere import own"),
        ("from x.own import y; x.own.z", "from x.own import y; x.own.z"),
        ('"x\\nfrom own import part\\nown.part"', '"x\\nfrom new import part\\nnew.part"'),
        ("_target_: own.deep.Net", "_target_: new.deep.Net"),
        ("python -m own.part data", "python -m new.part data"),
        ("('own.part', \"own.json\")", "('new.part', \"own.json\")"),
        ("'src/own/say.py', 'own.say'", "'src/new/say.py', 'new.say'"),
        ("own.status == own.__file__", "own.status == new.__file__"),
        ("src/own src/own/part.py src/owner", "src/new src/new/part.py src/owner"),
        ("docs/src/own/x", "docs/src/new/x"),
        ('ROOT / "src" / "own"; ("src", "own")', 'ROOT / "src" / "new"; ("src", "new")'),
        ("every task of own/deep/, own/other", "every task of new/deep/, own/other"),
        ("/usr/own/part me@own.org https://own.org/", "/usr/own/part me@own.org https://own.org/"),
        ("own = 1; known.own; own_part", "own = 1; known.own; own_part"),
    ],
)
def test_code_follows(before: str, after: str) -> None:
    assert RENAMING.text(before, ".py") == after
    assert Renaming("new", "own", RENAMING.modules).text(after, ".py") == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("the package `own` に、own.part と書く", "the package `new` に、new.part と書く"),
        ("an idea of my own.It is own.other", "an idea of my own.It is own.other"),
        ("src/own/     code\nsrc/model/   more", "src/new/     code\nsrc/model/   more"),
        ("`src/own`の`from own import x`", "`src/new`の`from new import x`"),
    ],
)
def test_documents_follow(before: str, after: str) -> None:
    assert RENAMING.text(before, ".md") == after


def test_the_columns_of_a_listing_stay() -> None:
    found = Renaming("own", "longer", ["part"]).text("src/own/    code\n", ".md")
    assert found == "src/longer/ code\n".replace("/ c", "/  c") or found == "src/longer/  code\n"
    assert Renaming("own", "ab", ["part"]).text("src/own/    code\n", ".md") == (
        "src/ab/     code\n"
    )


def test_in_notebooks_only_what_was_typed_follows() -> None:
    printed = [{"output_type": "stream", "name": "stdout", "text": ["from own import part\n"]}]
    cells = [
        {"cell_type": "code", "source": ["from own import part\n", "x"], "outputs": printed},
        {"cell_type": "markdown", "source": "see `src/own`, 日本", "metadata": {"own.part": 1}},
    ]
    text = json.dumps({"cells": cells, "nbformat": 4}, indent=1, ensure_ascii=False) + "\n"
    made = RENAMING.text(text, ".ipynb")
    cells[0]["source"] = ["from new import part\n", "x"]
    cells[1]["source"] = "see `src/new`, 日本"
    assert made == json.dumps({"cells": cells, "nbformat": 4}, indent=1, ensure_ascii=False) + "\n"
    assert RENAMING.text(text.replace("own", "other"), ".ipynb") == text.replace("own", "other")


def test_a_title_follows_where_it_was_the_name() -> None:
    assert title("# old\n\nold", "old", "new\\1") == "# new\\1\n\nold"
    assert title("# old things\n", "old", "new") == "# old things\n"


# The whole tree


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """All that a clone of this repository would have."""
    root = tmp_path / "it's a clone"
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    return root


def apply(root: Path, values: Values) -> changes.Changes:
    package = pyproject.present(changes.read(root / "pyproject.toml"))[1]
    planned = changes.planned(root, values)
    changes.write(planned, (root / "src" / package, root / "src" / values.package))
    return planned


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {"__pycache__", ".git"} & set(path.parts)
    }


def test_there_and_back_nothing_else_changed(clone: Path) -> None:
    before = tree(clone)
    apply(clone, TREADSTONE)
    assert apply(clone, TREADSTONE) == {}
    apply(clone, Values("Treadstone", "Jason Bourne", "jason@bourne.com", "black_briar"))
    assert not (clone / "src/treadstone").exists() and (clone / "src/black_briar").is_dir()
    apply(clone, Values("Treadstone", "Jason Bourne", "jason@bourne.com", PRESENT))
    after = tree(clone)
    assert set(after) == set(before)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"pyproject.toml", "README.md", "docs/ja/README.md"}


def test_nothing_names_the_package_by_its_old_name(clone: Path) -> None:
    apply(clone, TREADSTONE)
    argv = ["grep", "-rnE", rf"(from |import |src/|python -m ){PRESENT}\b", "."]
    left = [f"--exclude-dir={name}" for name in ("setup", "remote", "__pycache__")]
    left += [f"--exclude={name}" for name in ("test_setup.py", "*.lock")]
    found = subprocess.run([*argv, *left], cwd=clone, capture_output=True, text=True)
    assert found.stdout == ""


def test_it_is_all_or_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(clone)
    with monkeypatch.context() as patch:
        patch.setattr(changes.os, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            apply(clone, TREADSTONE)
    assert tree(clone) == before
    (clone / "src/notebooks/broken.ipynb").write_text(f"from {PRESENT} import x")
    with pytest.raises(ConfigError, match="src/notebooks/broken.ipynb is no notebook"):
        apply(clone, TREADSTONE)
    (clone / "src/notebooks/broken.ipynb").unlink()
    assert tree(clone) == before


def test_results_and_what_git_ignores_stay(clone: Path) -> None:
    text = f"from {PRESENT} import digits\n"
    for name in ("data/results/notebooks/old.py", "mlruns/1/code.py", ".venv/x.py", "latin.py"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    (clone / "latin.py").write_bytes(text.encode() + b"# \xe9\n")
    (clone / "mine.py").write_text(text)
    changed = {path.relative_to(clone).as_posix() for path in apply(clone, TREADSTONE)}
    assert "mine.py" in changed
    assert not changed & {"data/results/notebooks/old.py", "mlruns/1/code.py", ".venv/x.py"}
    assert "latin.py" not in changed


# What is the toolkit's own


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=A Tester", "-c", "user.email=tester@example.com")
    return subprocess.run(
        ["git", *who, *words], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def commit(root: Path) -> None:
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "begin")


def test_the_toolkits_own_goes_and_git_brings_it_back(clone: Path) -> None:
    assert [name for name in toolkit.REMOVED if not (clone / name).exists()] == []
    assert toolkit.is_there(clone) and not toolkit.is_in_git(clone), "nothing could be brought back"
    commit(clone)
    before = tree(clone)
    (clone / "tests/agent/__pycache__").mkdir()
    (clone / "tests/mine").mkdir()
    (clone / "tests/mine/test_new.py").write_text("")
    assert toolkit.is_in_git(clone) and toolkit.replace(clone, TREADSTONE) > 500
    assert not toolkit.is_there(clone)
    after = tree(clone)
    assert {
        name for name in after if name.startswith(("tests/", "docs/", "bench/", ".github/"))
    } == {
        "tests/test_treadstone.py",
        "tests/mine/test_new.py",
    }
    assert not (clone / "tests/agent").exists()
    assert {name for name in after if name in before and after[name] != before[name]} == {
        *("Makefile", "pyproject.toml", "README.md", "CHANGELOG.md")
    }
    assert (
        after["README.md"].startswith(b"# Treadstone\n")
        and b"src/treadstone/" in after["README.md"]
    )
    assert after["remote/__init__.py"] and after["scripts/install.sh"] and after["AGENTS.md"]
    for name in ("docs/index.md", "tests/research/test_setup.py"):
        assert git(clone, "show", f"{toolkit.last_commit(clone)}:{name}")
    git(clone, "reset", "-q")
    git(clone, "checkout", "--", ".")
    shutil.rmtree(clone / "tests/mine")
    (clone / "tests/test_treadstone.py").unlink()
    assert tree(clone) == before


def test_what_is_not_committed_is_neither_removed_nor_replaced(clone: Path) -> None:
    commit(clone)
    with open(clone / "docs/index.md", "a") as file:
        file.write("mine\n")
    with pytest.raises(ConfigError, match="remove or replace docs/index.md, which isn't committed"):
        toolkit.is_in_git(clone)
    (clone / "README.md").write_text("# What I measure\n")
    (clone / "tests/test_treadstone.py").write_text("mine = 1\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "mine")
    assert toolkit.is_in_git(clone) and toolkit.replace(clone, TREADSTONE)
    assert (clone / "README.md").read_text() == "# What I measure\n"


def test_the_makefile_names_nothing_that_went() -> None:
    text = (ROOT / "Makefile").read_text()
    own = toolkit.makefile(text, (ROOT / toolkit.FILES / "targets.mk.txt").read_text())
    targets = re.findall(r"(?m)^([a-z-]+):", own)
    everything = re.findall(r"(?m)^([a-z-]+):", text)
    assert [name for name in everything if name not in toolkit.TARGETS] == targets
    assert set(toolkit.TARGETS) <= {*everything, "pictures"}
    assert sorted(own.split(".PHONY: ")[1].split("\n")[0].split()) == sorted(targets)
    used = re.findall(r"\b(?:sh |-m )(scripts[./][\w./]+|bench)", own)
    assert used and not [name for name in used if name.replace(".", "/", 1) in toolkit.REMOVED]


# Lock files


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project that depends on next to nothing."""
    root = tmp_path / "small"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/lock.sh", root / "scripts")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "Small"\nversion = "1"\nrequires-python = ">=3.10"\n'
        'dependencies = ["iniconfig>=2"]\n\n[dependency-groups]\nproject = []\ndev = ["iniconfig"]\n'
    )
    (root / "requirements.lock").write_text("")
    return root


def test_locks_are_resolved_and_stay_where_they_fit(small: Path) -> None:
    new, failed = locks.resolve(small)
    if failed:
        assert re.search("fetch|connect|request|timed out|network", failed), failed
        pytest.skip(f"no package index can be reached: {failed}")
    assert new == ["requirements-dev.lock", "requirements.lock"]
    assert (small / "requirements.lock").read_text().startswith("iniconfig==")
    assert locks.resolve(small) == ([], "")


def test_without_a_network_the_locks_stay(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    new, failed = locks.resolve(small)
    assert new == [] and failed
    assert (small / "requirements.lock").read_text() == ""
    assert not (small / "requirements-dev.lock").exists()


# The command


@pytest.fixture(scope="module")
def mine(laboratory: Make) -> Iterator[Laboratory]:
    """A clone, and what is needed to check it."""
    lab = laboratory("setup")
    # Locks are resolved above.
    lab.env["UV_OFFLINE"] = "1"
    environment.install(lab.root / ".venv", "-r", str(ROOT / "requirements-dev.lock"))
    yield lab


def setup(lab: Laboratory, **given: str) -> Command:
    words = [f"{name}={value}" for name, value in {**GIVEN, **given}.items() if value]
    return lab.run_make("setup", *words)


def status(lab: Laboratory) -> str:
    argv = ["git", "status", "--porcelain"]
    return subprocess.run(argv, cwd=lab.root, capture_output=True, text=True, check=True).stdout


def test_make_setup_refuses_and_changes_nothing(mine: Laboratory) -> None:
    before = status(mine)
    for given in ({"package_name": "numpy"}, {"your_email": ""}, {"project_name": "a b"}):
        done = setup(mine, **given)
        assert done.code and next(iter(given)) in done.err
        assert "Traceback" not in done.text
    assert status(mine) == before and not (mine.root / ".env").exists()


@pytest.mark.timeout(600)
def test_make_setup_makes_it_ones_own(mine: Laboratory, sshd: PrivateSshd) -> None:
    name = """O'Brien "Bob" \\ & $(touch pwned) `touch pwned` / 山田"""
    done = setup(mine, your_name=name)
    assert done.code == 0, done.text
    assert "src/treadstone" in done.out and "git checkout" in done.out
    assert (mine.root / ".env").read_text() == (mine.root / ".env.example").read_text()
    assert not list(mine.root.rglob("pwned"))
    found = loaded((mine.root / "pyproject.toml").read_text("utf-8"))["project"]
    assert found["authors"] == [{"name": name, "email": "jason@bourne.com"}]

    (mine.root / ".env").write_text("REMOTE_NOTIFY=true\n")
    before = tree(mine.root / "src"), status(mine)
    again = setup(mine, your_name=name)
    assert again.code == 0 and "no file was changed" in again.out
    assert (tree(mine.root / "src"), status(mine)) == before
    assert (mine.root / ".env").read_text() == "REMOTE_NOTIFY=true\n"

    # Again, as the document has it, with what it tells to do then.
    reader = Researcher(mine, sshd, mine.env["TARGET_DIR"].partition(":")[2])
    reader.type(". .venv/bin/activate")
    reader.read("template.md")
    assert loaded((mine.root / "pyproject.toml").read_text("utf-8"))["project"]["authors"] == [
        {"name": "Jason Bourne", "email": "jason@bourne.com"}
    ]

    metadata = "from importlib.metadata import metadata as of; print(of('treadstone').json)"
    assert "jason@bourne.com" in mine.python("-c", metadata).out
    # What went, and its targets; what stays works.
    assert not (mine.root / "CITATION.cff").exists() and not (mine.root / ".github").exists()
    (mine.root / ".venv/.ready").touch()
    own = dict.fromkeys([name for name in os.environ if name.startswith("PYTEST")], "")
    for target, told in (
        ("help", "make sync-push"),
        ("test", "1 passed"),
        ("check", ""),
        ("sync-push", "pushed to gpu:"),
        ("remote-ps", ""),
    ):
        done = mine.run_make(target, **own)
        assert done.code == 0 and told in done.out, done.text
        assert "make demo" not in done.out
    before = tree(mine.root / "src"), tree(mine.root / "remote"), status(mine)
    assert mine.run_make("format").code == 0
    assert (tree(mine.root / "src"), tree(mine.root / "remote"), status(mine)) == before
