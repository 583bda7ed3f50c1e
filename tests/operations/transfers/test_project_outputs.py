"""What a project may declare to be its jobs' own, and what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.operations.transfers.project_outputs import declared_outputs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in git, with some code."""
    for name in ("train.py", "lib/a.py", "assets/logo.png", "kept/.gitkeep", "nogit/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("lib")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    names = ["train.py", "lib", "assets", "kept"]
    subprocess.run(["git", "-C", str(tmp_path), "add", *names], check=True)
    return tmp_path


def declare(root: Path, *names: object) -> tuple[str, ...]:
    text = f"[tool.remote]\noutputs = {json.dumps(names, ensure_ascii=False)}\n"
    (root / "pyproject.toml").write_text(text, "utf-8")
    return declared_outputs(root)


def test_folders_and_files(root: Path) -> None:
    names = ("out", "check points", "data/06_models", "model.pkl", "v1.5/", "出力", "kept")
    assert declare(root, *names) == names
    (root / "pyproject.toml").unlink()
    assert declared_outputs(root) == ()


def test_what_is_there_twice_is_declared_once(root: Path) -> None:
    names = ("out", "out/ckpt", "out", "data/results/x", "logs", "outlet")
    assert declare(root, *names) == ("out", "outlet")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "/",
            "/etc",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "~",
            "~/out",
            "-out",
            " out",
            "a\n",
        ),
        *("out-*", "o[u]t", "o?t", "a\\b", "a" * 256),
        *(".git", ".GIT/hooks", "a/.git", ".venv", ".env", ".remote", ".vscode"),
        *("src", "SRC", "data", "Data/Raw", "data/raw/x", "remote", "tasks.py", "Makefile"),
        *("mlruns", "mlruns/1", "mlflow.db", "mlflow.db-wal", "pyproject.toml", "uv.lock"),
        *("lib", "lib/a.py", "assets", "assets/logo.png", "nogit", "link/x"),
    ],
)
def test_what_is_no_place_for_outputs_is_refused_in_words(root: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="outputs in pyproject.toml") as error:
        declare(root, "out", name)
    assert repr(name) in error.value.message


@pytest.mark.parametrize("text", ["outputs = 'out'", "outputs = [1]", "outputs = {a = 1}"])
def test_what_is_no_list_of_names_is_refused(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(f"[tool.remote]\n{text}\n")
    with pytest.raises(ConfigError, match="has to be a list of names"):
        declared_outputs(root)


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\nremote = 1", "[tool.other]\noutputs = 1"])
def test_without_the_table_there_is_none(root: Path, text: str) -> None:
    (root / "pyproject.toml").write_text(text)
    assert declared_outputs(root) == ()
