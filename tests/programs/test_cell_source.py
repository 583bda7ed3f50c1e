"""What a notebook's cells assign and call, whatever magics they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote.errors import NotebookError
from remote.programs.parameter import literal
from tests.programs.documents import cell, read


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
    ("annotation", "typed", "value"),
    [
        ("Literal['a', 'b']", "b", "b"),
        ("typing.Literal['a', 'b c']", "b c", "b c"),
        ('\'Literal["a", "b"]\'', "b", "b"),
        ("Literal[1, 2]", "2", 2),
        ("Literal['a', 1, None]", "1", 1),
        ("Literal[True, 'auto']", "true", True),
        ("Optional[Literal['a']]", "None", None),
        ("Literal['a'] | None", "None", None),
    ],
)
def test_a_literal_takes_its_values_and_no_other(
    tmp_path: Path, annotation: str, typed: str, value: Any
) -> None:
    (found,) = read(tmp_path, cell(f"mode: {annotation} = 'a'", "parameters")).parameters
    assert found.convert(typed) == value
    with pytest.raises(NotebookError, match="takes one of"):
        found.convert("c")


def test_a_literal_beside_a_type_leaves_it_to_the_type(tmp_path: Path) -> None:
    (found,) = read(tmp_path, cell("n: Literal['all'] | int = 3", "parameters")).parameters
    assert found.convert("5") == 5


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


@pytest.mark.parametrize(
    ("source", "value"), [("1", 1), ("'a'", "a"), ("[1]", [1]), ("now()", "now()"), ("None", None)]
)
def test_a_default_is_a_value_where_it_is_a_literal(source: str, value: Any) -> None:
    assert literal(source) == value
