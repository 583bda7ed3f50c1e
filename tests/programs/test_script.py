"""What a name stands for: a file, a module, neither."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remote.errors import JobError
from remote.programs import script
from tests.conftest import ROOT

HYDRA = "import hydra\n@hydra.main()\ndef main(config): pass\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with files here and there; the working directory is its `src`."""
    found = tmp_path / "proj"
    for name, text in {
        "src/a.py": "",
        "src/model/train.py": HYDRA,
        "src/pack/__main__.py": HYDRA,
        "src/pack/__init__.py": "",
        "top/tool.py": "",
        "run me.sh": "",
    }.items():
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "outside.py").write_text("")
    monkeypatch.chdir(found / "src")
    return found


@pytest.mark.parametrize(
    ("name", "path", "module", "hydra"),
    [
        ("a.py", "src/a.py", "", False),
        ("src/a.py", "src/a.py", "", False),
        ("./model/train.py", "src/model/train.py", "", True),
        ("../run me.sh", "run me.sh", "", False),
        ("model.train", "src/model/train.py", "model.train", True),
        ("top.tool", "top/tool.py", "top.tool", False),
        ("pack", "src/pack/__main__.py", "pack", True),
        ("a", "src/a.py", "a", False),
    ],
)
def test_found(root: Path, name: str, path: str, module: str, hydra: bool) -> None:
    assert script.find(root, name) == script.Script(Path(path), hydra, module)


@pytest.mark.parametrize(
    "name",
    ["", "b.py", "model", "top", "model.", ".model", "a.ipynb", "src", "x\0.py", "a" * 5000 + ".py"]
    + ["model/train", "../a", "--help", "no.such.module", "model..train"],
)
def test_neither(root: Path, name: str) -> None:
    assert script.find(root, name) is None


@pytest.mark.parametrize("name", ["../../outside.py", "ABSOLUTE", "link.py", "linked"])
def test_outside_of_the_project(root: Path, name: str) -> None:
    outside = root.parent / "outside.py"
    (root / "link.py").symlink_to(outside)
    (root / "linked.py").symlink_to(outside)
    with pytest.raises(JobError, match="outside of the project") as error:
        script.find(root, str(outside) if name == "ABSOLUTE" else name)
    assert "pushed" in error.value.hint


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (HYDRA, True),
        ("from hydra import main\n@main(config_path=None)\ndef f(c): pass", True),
        ("from hydra import initialize, main as start", True),
        ("import hydra as h\nh.main()(f)()", True),
        ("import hydra.utils\nhydra.main", True),
        ("def f():\n    import hydra\n    hydra.main()(g)()", True),
        ("import hydra\nhydra.initialize()", False),
        ("# hydra.main\nmain()", False),
        ("import hydra.utils as u\nu.main()", False),
        ("from other import hydra_main\nhydra = 1\nhydra.main()", False),
        ("import hydra\nif", False),
        ("", False),
    ],
)
def test_a_hydra_application(tmp_path: Path, source: str, answer: bool) -> None:
    (tmp_path / "a.py").write_text(source)
    assert script.is_hydra(tmp_path / "a.py") is answer


def test_files_that_no_parser_takes(tmp_path: Path) -> None:
    for data in (b"\xff\xfe hydra", b"import hydra\0", b"import hydra\n" + b"(" * 100_000):
        (tmp_path / "a.py").write_bytes(data)
        assert script.is_hydra(tmp_path / "a.py") is False
    assert script.is_hydra(tmp_path / "missing.py") is False


def test_the_sample_is_one() -> None:
    found = script.find(ROOT, "model.model01.train")
    assert found == script.Script(Path("src/model/model01/train.py"), True, "model.model01.train")


def test_it_starts_fast() -> None:
    code = "import remote.programs.script, remote.programs.mlproject, sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not {"mlflow", "hydra", "yaml", "optuna"} & set(said.stdout.split()), os.linesep
    assert "remote.programs.mlproject" in said.stdout
