"""A package more, by the real uv, without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.operations.add_package import add, versions
from tests.agent.environments.conftest import UV, uv  # noqa: F401
from tests.agent.environments.test_torch_backend import wheel
from tests.conftest import ROOT

PYPROJECT = """\
[project]
name = "p"
version = "1"
requires-python = ">=3.10"
# They stay.
dependencies = ["idna"]

[project.optional-dependencies]
big = []
"""


@pytest.fixture
def root(uv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A project that needs idna, of which there is a newer version than it has locked."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    wheel(wheels, "idna", "1.0")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def more(root: Path) -> None:
    """What the index has since then."""
    for name, version, needs in (
        ("idna", "2.0", ""), ("table", "3.1", "idna"), ("table", "3.0", ""), ("strict", "1.0", "idna>=2"),
    ):  # fmt: skip
        wheel(root.parent / "wheels", name, version, needs)


def lock(root: Path, kind: str) -> None:
    if kind == "uv.lock":
        subprocess.run([UV, "lock", "-q"], cwd=root, check=True)
        return
    argv = [UV, "pip", "compile", "-q", "--universal", "--generate-hashes", "--no-strip-extras"]
    if kind == "scripts/lock.sh":
        (root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/lock.sh", root / "scripts")
        with open(root / "pyproject.toml", "a") as file:
            file.write("\n[dependency-groups]\nproject = []\ndev = []\n")
    argv += ["--no-header"] if kind == "no header" else []
    for extra in ([], ["--extra", "big", "-c", "requirements.lock"]):
        name = f"requirements{'-big' * bool(extra)}.lock"
        subprocess.run([*argv, *extra, "pyproject.toml", "-o", name], cwd=root, check=True)


KINDS = ["uv.lock", "header", "no header", "scripts/lock.sh"]


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*.*")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_added_and_no_other_moves(root: Path, kind: str) -> None:
    lock(root, kind)
    more(root)
    changes = [str(change) for change in add(root, "table>=3")]
    files = ["uv.lock"] if kind == "uv.lock" else ["requirements.lock", "requirements-big.lock"]
    assert changes == [f"{file}: table 3.1" for file in files]
    declared = (root / "pyproject.toml").read_text()
    assert "table>=3" in declared and "# They stay." in declared
    for file in files:
        assert versions((root / file).read_text())["idna"] == {"1.0"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:2])
def test_it_may_go_to_an_extra_alone(root: Path, kind: str) -> None:
    lock(root, kind)
    more(root)
    (change,) = add(root, "table", "big")
    assert change.file == ("uv.lock" if kind == "uv.lock" else "requirements-big.lock")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("strict", "needs other versions of what is locked: .*idna 1.0 -> 2.0"),
        ("no-such-package", "could not be added: .*no-such-package"),
        ("idna>", "could not be added"),
    ],
)
def test_what_can_not_be_leaves_all_as_it_was(
    root: Path, kind: str, package: str, words: str
) -> None:
    lock(root, kind)
    more(root)
    before = content(root)
    with pytest.raises(ConfigError, match=words):
        add(root, package)
    assert content(root) == before


@pytest.mark.slow
def test_a_version_that_moves_is_seen_in_a_lock_file_of_windows_too(root: Path) -> None:
    lock(root, "uv.lock")
    more(root)
    text = (root / "uv.lock").read_text()
    (root / "uv.lock").write_text(text, newline="\r\n")
    before = content(root)
    with pytest.raises(ConfigError, match="idna 1.0 -> 2.0"):
        add(root, "strict")
    assert content(root) == before


@pytest.mark.parametrize(
    ("lock", "way"),
    [
        ("poetry.lock", "poetry add six"),
        ("requirements.txt", "add six to requirements.txt"),
        ("pylock.toml", "uv pip compile pyproject.toml -o pylock.toml"),
        ("", "what the project's environment is made from"),
    ],
)
def test_a_project_that_is_locked_otherwise_is_told_its_way(
    tmp_path: Path, lock: str, way: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    if lock:
        (tmp_path / lock).touch()
    with pytest.raises(ConfigError) as caught:
        add(tmp_path, "six")
    assert way in caught.value.hint


@pytest.mark.parametrize("package", ["--index-url=http://x", "-r x", "", "./x"])
def test_what_is_no_package_is_refused(tmp_path: Path, package: str) -> None:
    with pytest.raises(ConfigError, match="is no package"):
        add(tmp_path, package)
