"""Notebooks are read and found, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remote.errors import NotebookError
from remote.programs import notebook
from tests.conftest import ROOT
from tests.programs.documents import cell, document, read

SAMPLE = ROOT / "src" / "notebooks" / "train.ipynb"


def test_nbformat_3_is_read(tmp_path: Path) -> None:
    old = {"cell_type": "code", "input": ["a = 1\n", "b = 2"], "metadata": {"tags": ["parameters"]}}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": [old]}]}))
    assert [each.name for each in notebook.read(path, tmp_path).parameters] == ["a", "b"]


def test_the_sample_notebook_takes_an_epoch() -> None:
    found = notebook.read(SAMPLE, ROOT)
    assert found.path.as_posix() == "src/notebooks/train.ipynb"
    assert found.parameter("epoch").kind == "int"


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({}, "python"),
        ({"kernelspec": {"name": "x"}}, "python"),
        ({"kernelspec": {"language": "R"}}, "R"),
        ({"kernelspec": {"name": "ir"}}, "R"),
        ({"kernelspec": {"name": "julia-1.10"}}, "Julia"),
        ({"language_info": {"name": "julia"}}, "julia"),
    ],
)
def test_the_language_is_the_kernels(tmp_path: Path, metadata: Any, language: str) -> None:
    assert read(tmp_path, **metadata).language == language


def test_a_notebook_outside_of_the_project_keeps_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(document()))
    assert notebook.read(path, tmp_path / "proj").path == path.resolve()


BROKEN: list[bytes] = [
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"{}",
    b'{"cells": null}',
    b'{"cells": [1]}',
    b'{"cells": [{}]}',
    b'{"cells": [{"cell_type": "code", "metadata": null}]}',
    b'{"cells": [{"cell_type": "code", "source": 5}]}',
    b'{"cells": [{"cell_type": "code", "source": [1]}]}',
    b'{"cells": [{"cell_type": "code", "metadata": {"tags": 3}}]}',
    b'{"worksheets": []}',
    b'{"worksheets": [[]]}',
    b'{"cells": [], "metadata": {"kernelspec": 7}}',
    b'{"cells": [], "metadata": []}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", BROKEN, ids=lambda content: repr(content[:40]))
def test_what_is_no_notebook_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError) as caught:
        notebook.read(path, tmp_path)
    assert "a.ipynb" in caught.value.message
    assert len(str(caught.value).splitlines()) <= 2


def test_a_notebook_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="can't be read"):
        notebook.read(tmp_path, tmp_path)


def test_what_a_git_conflict_left_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text('<<<<<<< HEAD\n{"cells": []}\n=======\n{}\n>>>>>>> x\n')
    with pytest.raises(NotebookError):
        notebook.read(path, tmp_path)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["cells", "worksheets", "metadata", "tags", "source", "cell_type"]), inner
    ),
    max_leaves=12,
)


SOURCES = st.text() | st.lists(
    st.sampled_from(
        ["a", " = ", "1", "\n", "'", '"""', "(", ")", "#", "%x", "\\", "\0", "\x0c", "\t", ":", "!"]
        + ["mlflow.set_experiment(", "set_tracking_uri", ",", "*", "experiment_name="]
        + ["日本", "  "]
    )
).map("".join)


CODE_CELLS = st.builds(lambda source: cell(source, "parameters"), SOURCES | st.lists(SOURCES))


LOOSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)


def read_or_refuse(folder: Path, content: bytes) -> None:
    path = folder / "any.ipynb"
    path.write_bytes(content)
    try:
        notebook.read(path, folder)
    except NotebookError as error:
        assert error.message


@LOOSE
@given(ANY_JSON)
def test_any_json_is_read_or_refused(tmp_path: Path, value: Any) -> None:
    read_or_refuse(tmp_path, json.dumps(value).encode())


@LOOSE
@given(st.binary())
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path, content)


@LOOSE
@given(st.lists(CODE_CELLS, max_size=3))
@example([cell("a = 1\0", "parameters")])
@example([cell("a = " + "(" * 500, "parameters")])
@example([cell("a = " + "-" * 50_000 + "1", "parameters")])
@example([cell("a = " + "1+" * 20_000 + "1", "parameters")])
@example([cell("a = " + "9" * 5000, "parameters")])
@example([cell("a = {[]: 1}", "parameters")])
@example([cell("a = {**x}", "parameters")])
@example([cell("  a = 1\n b = 2", "parameters")])
@example([cell("a = '\ud800'", "parameters")])
@example([cell("a = '\\N{nothing}'", "parameters")])
@example([cell("mlflow.set_experiment(*names)", "parameters")])
def test_any_source_is_read(tmp_path: Path, cells: list[dict[str, Any]]) -> None:
    read_or_refuse(tmp_path, json.dumps(document(*cells)).encode())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "proj"
    (folder / "src" / "notebooks").mkdir(parents=True)
    for name in ("src/notebooks/train.ipynb", "src/notebooks/日本 語.ipynb", "other/x.ipynb"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(folder)
    return folder.resolve()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.ipynb", "src/notebooks/train.ipynb"),
        ("train", "src/notebooks/train.ipynb"),
        ("src/notebooks/train.ipynb", "src/notebooks/train.ipynb"),
        ("./other/x.ipynb", "other/x.ipynb"),
        ("other/x", "other/x.ipynb"),
        ("日本 語.ipynb", "src/notebooks/日本 語.ipynb"),
    ],
)
def test_a_notebook_is_found(root: Path, name: str, expected: str) -> None:
    assert notebook.find(root, name) == root / expected


def test_a_path_counts_from_the_working_directory_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "other")
    assert notebook.find(root, "x.ipynb") == root / "other" / "x.ipynb"
    assert notebook.find(root, "train") == root / "src/notebooks/train.ipynb"
    assert notebook.find(root, str(root / "other/x.ipynb")) == root / "other/x.ipynb"


def test_a_typo_in_the_name_is_told_with_the_nearest(root: Path) -> None:
    with pytest.raises(NotebookError) as caught:
        notebook.find(root, "trian.ipynb")
    assert "'trian.ipynb'" in caught.value.message
    assert "train.ipynb" in caught.value.hint


def test_a_typo_without_the_suffix_is_told_with_the_nearest(root: Path) -> None:
    (root / "src/notebooks/aa.ipynb").touch()
    with pytest.raises(NotebookError) as caught:
        notebook.find(root, "trian")
    assert caught.value.hint == "Did you mean train.ipynb?"


def test_what_is_near_to_nothing_is_told_with_what_there_is(root: Path) -> None:
    with pytest.raises(NotebookError, match="It holds train.ipynb"):
        notebook.find(root, "zzz")


def test_an_empty_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotebookError, match="holds no notebook"):
        notebook.find(tmp_path, "train")


@pytest.mark.parametrize("name", ["", "x" * 300, "a\0b", "../../etc/passwd", "other"])
def test_what_can_be_no_notebook_is_told(root: Path, name: str) -> None:
    with pytest.raises(NotebookError):
        notebook.find(root, name)
