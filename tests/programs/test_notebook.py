"""What a notebook file says before it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remote.errors import NotebookError
from remote.programs import notebook
from remote.programs.notebook import Notebook, Parameter
from tests.conftest import ROOT

SAMPLE = ROOT / "src" / "notebooks" / "train.ipynb"


def cell(source: Any, *tags: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}


def document(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


def read(folder: Path, *cells: dict[str, Any], **metadata: Any) -> Notebook:
    path = folder / "a.ipynb"
    path.write_text(json.dumps(document(*cells, **metadata)), "utf-8")
    return notebook.read(path, folder)


def parameters(folder: Path, source: Any) -> list[tuple[str, str, str, str]]:
    found = read(folder, cell(source, "parameters")).parameters
    return [(each.name, each.kind, each.default, each.comment) for each in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("epoch = 10", ("epoch", "int", "10", "")),
        ("lr = 0.1", ("lr", "float", "0.1", "")),
        ("lr = 1e-3  # learning rate", ("lr", "float", "0.001", "learning rate")),
        ("name = 'a b'", ("name", "str", "'a b'", "")),
        ("name = 'a # b'  # c # d", ("name", "str", "'a # b'", "c # d")),
        ("shuffle = True", ("shuffle", "bool", "True", "")),
        ("sizes = [1, 2]", ("sizes", "list", "[1, 2]", "")),
        ("options = {'a': 1}", ("options", "dict", "{'a': 1}", "")),
        ("offset = -5", ("offset", "int", "-5", "")),
        ("seed = None", ("seed", "", "None", "")),
        ("pair = (1, 2)", ("pair", "", "(1, 2)", "")),
        ("when = now()", ("when", "", "now()", "")),
        ("size = 2 * 8", ("size", "", "2 * 8", "")),
        ("lr: float = 1", ("lr", "float", "1", "")),
        ("lr: 'float' = 1", ("lr", "float", "1", "")),
        ("n: int = compute()  # n", ("n", "int", "compute()", "n")),
        ("names: list[str] = []", ("names", "list", "[]", "")),
        ("names: typing.List[str] = []", ("names", "list", "[]", "")),
        ("names: Dict[str, int] = {}", ("names", "dict", "{}", "")),
        ("x: Path = 'a'", ("x", "str", "'a'", "")),
        ("エポック = 3  # 回数", ("エポック", "int", "3", "回数")),
        ("a = [\n  1,  # one\n  2,\n]  # both", ("a", "list", "[1, 2]", "both")),
    ],
)
def test_an_assignment_is_a_parameter(
    tmp_path: Path, source: str, expected: tuple[str, ...]
) -> None:
    assert parameters(tmp_path, source) == [expected]


@pytest.mark.parametrize(
    "annotation", ["Optional[int]", "typing.Optional[int]", "int | None", "Union[int, None]"]
)
def test_an_optional_parameter_takes_its_type_or_none(tmp_path: Path, annotation: str) -> None:
    (found,) = read(tmp_path, cell(f"n: {annotation} = None", "parameters")).parameters
    assert found.convert("5") == 5
    assert found.convert("None") is None
    with pytest.raises(NotebookError):
        found.convert("many")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "# only a comment",
        "%matplotlib inline",
        "print(1)",
        "a.b = 1",
        "a[0] = 1",
        "a, b = 1, 2",
        "x: int",
        "if True:\n    a = 1",
        "this is no Python",
    ],
)
def test_other_lines_are_no_parameters(tmp_path: Path, source: str) -> None:
    assert parameters(tmp_path, source) == []


def test_magics_and_shell_lines_do_not_hide_parameters(tmp_path: Path) -> None:
    source = "%matplotlib inline\n!pip list\n?help\na = 1  # first\n  \nb = 2\n"
    names = [found[0] for found in parameters(tmp_path, source)]
    assert names == ["a", "b"]


def test_magics_in_other_cells_do_not_hide_calls(tmp_path: Path) -> None:
    source = "%load_ext autoreload\nfor i in range(3):\n    !echo {i}\nmlflow.set_experiment('e')"
    assert read(tmp_path, cell(source)).experiment == "e"


def test_a_line_in_a_text_that_looks_like_a_magic_stays(tmp_path: Path) -> None:
    (found,) = parameters(tmp_path, 'q = """\n%s\n!x\n"""')
    assert found[2] == repr("\n%s\n!x\n")


def test_a_source_of_lines_is_joined(tmp_path: Path) -> None:
    found = parameters(tmp_path, ["a = 1  # one\n", "b = 2"])
    assert found == [("a", "int", "1", "one"), ("b", "int", "2", "")]


def test_only_the_first_cell_tagged_parameters_counts(tmp_path: Path) -> None:
    cells = [cell("x = 0"), cell("a = 1", "other", "parameters"), cell("b = 2", "parameters")]
    assert [each.name for each in read(tmp_path, *cells).parameters] == ["a"]


def test_a_markdown_cell_tagged_parameters_does_not_count(tmp_path: Path) -> None:
    cells = [cell("a = 1", "parameters", kind="markdown"), cell("b = 2", "parameters")]
    assert [each.name for each in read(tmp_path, *cells).parameters] == ["b"]


def test_the_same_name_twice_is_one_parameter_with_its_last_default(tmp_path: Path) -> None:
    found = parameters(tmp_path, "a = 1\na = 2.5")
    assert found == [("a", "float", "2.5", "")]


def test_without_a_parameters_cell_there_are_none(tmp_path: Path) -> None:
    found = read(tmp_path, cell("a = 1"))
    assert found.parameters == ()
    with pytest.raises(NotebookError, match="takes none"):
        found.parameter("a")


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
        ({"kernelspec": {"language": "R"}}, "r"),
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


# Values as they are typed in a shell

GOOD: list[tuple[str, str, Any]] = [
    ("int", "5", 5),
    ("int", "-5", -5),
    ("int", "1_000", 1000),
    ("int", " 7 ", 7),
    ("float", "5", 5.0),
    ("float", "1e-3", 0.001),
    ("float", "-.5", -0.5),
    ("float", "inf", float("inf")),
    ("str", "5", "5"),
    ("str", "", ""),
    ("str", "-x", "-x"),
    ("str", "a=b", "a=b"),
    ("str", "$(x) 'y' \"z\"\n日本", "$(x) 'y' \"z\"\n日本"),
    ("str", "x" * 100_000, "x" * 100_000),
    ("str", "null", "null"),
    ("bool", "true", True),
    ("bool", "True", True),
    ("bool", "YES", True),
    ("bool", "1", True),
    ("bool", "false", False),
    ("bool", "no", False),
    ("bool", "0", False),
    ("list", "[1, 2]", [1, 2]),
    ("list", "['a']", ["a"]),
    ("list", "[]", []),
    ("dict", '{"a": 1}', {"a": 1}),
    ("dict", "{'a': None}", {"a": None}),
    ("", "5", 5),
    ("", "5.0", 5.0),
    ("", "true", True),
    ("", "True", True),
    ("", "null", None),
    ("", "None", None),
    ("", "text", "text"),
    ("", "a b", "a b"),
    ("", "", ""),
    ("", "'5'", "5"),
    ("", "[1, 'a']", [1, "a"]),
    ("", "-", "-"),
    ("", "(1, 2)", "(1, 2)"),
    ("", "x" * 100_000, "x" * 100_000),
]

BAD = [
    ("int", "5.5"),
    ("int", "many"),
    ("int", ""),
    ("int", "0x10"),
    ("int", "1e3"),
    ("float", "fast"),
    ("float", ""),
    ("float", "1,5"),
    ("bool", "maybe"),
    ("bool", "2"),
    ("bool", ""),
    ("list", "5"),
    ("list", '{"a": 1}'),
    ("list", "[1"),
    ("list", "a,b"),
    ("dict", "[1]"),
    ("dict", "a=1"),
    ("int", "x" * 100_000),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD, ids=lambda value: repr(value)[:30])
def test_a_typed_value_means(kind: str, text: str, value: Any) -> None:
    found = Parameter("p", kind, "1").convert(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("kind", "text"), BAD, ids=lambda value: repr(value)[:30])
def test_a_value_of_the_wrong_type_is_told(kind: str, text: str) -> None:
    with pytest.raises(NotebookError) as caught:
        Parameter("p", kind, "the default").convert(text)
    assert "'p'" in caught.value.message and f"({kind})" in caught.value.message.replace(
        ", as JSON", f" ({kind})"
    )
    assert len(caught.value.message) < 200
    assert "the default" in caught.value.hint


@given(st.sampled_from(["", *notebook.KINDS]), st.text())
@example("", "9" * 5000)
@example("int", "9" * 5000)
@example("", "[" * 100_000)
@example("list", "{[]: 1}")
@example("", "{[]: 1}")
@example("", "\0")
@example("", "{1, 2}")
@example("", "1" + "+1" * 5000)
def test_any_text_is_converted_or_told(kind: str, text: str) -> None:
    try:
        value = Parameter("p", kind, "0").convert(text)
    except NotebookError:
        return
    if kind:
        assert isinstance(value, notebook.KINDS[kind])


@given(st.sampled_from(["", *notebook.KINDS]), st.text())
@example("", "NaN")
@example("", "[1e999]")
@example("", "{1: 2}")
@example("", "[(1, 2), {3}]")
@example("dict", "{(1, 2): 3}")
@example("list", "[b'x']")
@example("list", "[...]")
def test_what_is_converted_can_travel_as_json(kind: str, text: str) -> None:
    try:
        value = Parameter("p", kind, "0").convert(text)
    except NotebookError:
        return
    json.dumps(value)


# Names

PARAMETERS = tuple(Parameter(name, "int", "1") for name in ("epoch", "batch_size", "n"))


def named() -> Notebook:
    return Notebook(Path("src/notebooks/train.ipynb"), PARAMETERS)


@pytest.mark.parametrize("name", ["batch_size", "batch-size"])
def test_dashes_and_underscores_are_the_same(name: str) -> None:
    assert named().parameter(name).name == "batch_size"


@pytest.mark.parametrize(
    ("typo", "near"),
    [("epochs", "epoch"), ("batchsize", "batch_size"), ("batch-siz", "batch_size"), ("N", "n")],
)
def test_a_typo_names_the_nearest(typo: str, near: str) -> None:
    with pytest.raises(NotebookError) as caught:
        named().parameter(typo)
    assert repr(typo) in caught.value.message
    assert near in caught.value.hint


def test_what_is_near_to_nothing_lists_them_all() -> None:
    with pytest.raises(NotebookError) as caught:
        named().parameter("zzzzzz")
    assert caught.value.hint == "It takes epoch, batch_size, n."


# find()


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
    with pytest.raises(NotebookError, match="There is train.ipynb"):
        notebook.find(root, "zzz")


def test_an_empty_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotebookError, match="holds no notebook"):
        notebook.find(tmp_path, "train")


@pytest.mark.parametrize("name", ["", "x" * 300, "a\0b", "../../etc/passwd", "other"])
def test_what_can_be_no_notebook_is_told(root: Path, name: str) -> None:
    with pytest.raises(NotebookError):
        notebook.find(root, name)


# Which experiment the notebook's runs will go to

EXPERIMENTS: list[tuple[str, Any, bool]] = [
    ("", None, True),
    ("import mlflow\nmlflow.set_experiment('digits')", "digits", True),
    ("from mlflow import set_experiment\nset_experiment('digits')", "digits", True),
    ("mlflow.set_experiment(experiment_name='digits')", "digits", True),
    ("with mlflow.start_run():\n    mlflow.set_experiment('digits')", "digits", True),
    ("mlflow.set_experiment('a')\nmlflow.set_experiment('a')", "a", True),
    ("mlflow.set_experiment('a')\nmlflow.set_experiment('b')", "a", False),
    ("mlflow.set_experiment(name)", "{name}", True),
    ("mlflow.set_experiment(experiment_name=name)", "{name}", True),
    ("mlflow.set_experiment(f'{name}-1')", None, False),
    ("mlflow.set_experiment(other)", None, False),
    ("mlflow.set_experiment('a' + name)", None, False),
    ("mlflow.set_experiment(experiment_id='7')", None, False),
    ("mlflow.set_experiment()", None, False),
    ("mlflow.set_experiment(name)\nmlflow.set_experiment('b')", "{name}", False),
    ("mlflow.set_experiment(other)\nmlflow.set_experiment('b')", "b", False),
    ("mlflow.set_tracking_uri('http://elsewhere')", None, False),
    ("mlflow.set_tracking_uri(uri='http://elsewhere')", None, False),
    ("mlflow.set_tracking_uri(where)", None, False),
    ("mlflow.set_tracking_uri('sqlite:///mlflow.db')", None, True),
    ("mlflow.set_tracking_uri('')", None, True),
    ("save_mlflow(experiment_name='digits', do_commit=False)", "digits", True),
    ("tracking.save_mlflow(experiment_name=name)", "{name}", True),
    ("mlflow.set_experiment('a')\nsave_mlflow(experiment_name='b')", "a", False),
    ("# mlflow.set_experiment('no')", None, True),
    ("print(\"mlflow.set_experiment('no')\")", None, True),
]


@pytest.mark.parametrize(("source", "experiment", "continues"), EXPERIMENTS)
def test_the_experiment_is_told_before_the_run(
    tmp_path: Path, source: str, experiment: Any, continues: bool
) -> None:
    found = read(tmp_path, cell("name = 'x'", "parameters"), cell(source))
    parameter = f"{{{found.experiment_parameter}}}" if found.experiment_parameter else None
    assert (found.experiment or parameter, found.continues_run) == (experiment, continues)


def test_a_parameter_that_is_set_anew_tells_nothing(tmp_path: Path) -> None:
    cells = [cell("name = 'x'", "parameters"), cell("name = name + '-1'\nset_experiment(name)")]
    assert read(tmp_path, *cells).continues_run is False


@pytest.mark.parametrize(
    "line", ["files = !ls", "df?", "rows = %sql SELECT 1", "this is no Python", "%%time\n%%capture"]
)
def test_a_cell_that_is_not_plain_python_hides_no_call(tmp_path: Path, line: str) -> None:
    found = read(tmp_path, cell(f"{line}\nmlflow.set_experiment('e')"))
    assert found.experiment == "e" or not found.continues_run


def test_a_literal_in_braces_is_no_parameter(tmp_path: Path) -> None:
    found = read(tmp_path, cell("name = 'x'", "parameters"), cell("set_experiment('{name}')"))
    assert (found.experiment, found.experiment_parameter) == ("{name}", None)


def test_calls_in_all_cells_count(tmp_path: Path) -> None:
    found = read(tmp_path, cell("set_experiment('a')"), cell("set_experiment('b')"))
    assert not found.continues_run


@pytest.mark.parametrize(
    ("source", "value"), [("1", 1), ("'a'", "a"), ("[1]", [1]), ("now()", "now()"), ("None", None)]
)
def test_a_default_is_a_value_where_it_is_a_literal(source: str, value: Any) -> None:
    assert notebook.literal(source) == value
