"""A flag is a row of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass

from remote.options import option, options_of


@dataclass(frozen=True)
class Options:
    name: str = option("--name", "what it is called")
    count: int = option("--count", "how many", 2, parse=lambda text, flag: int(text))
    follow: bool = option("--follow", "stay", False)
    tags: tuple[str, ...] = option("--tag", "a tag", collect=tuple)


def test_without_flags_there_are_the_defaults() -> None:
    assert Options() == Options(name="", count=2, follow=False, tags=())


def test_a_row_says_how_its_flag_is_typed() -> None:
    rows = options_of(Options)
    assert [(name, row.flag, row.help) for name, row in rows.items()] == [
        ("name", "--name", "what it is called"),
        ("count", "--count", "how many"),
        ("follow", "--follow", "stay"),
        ("tags", "--tag", "a tag"),
    ]
    assert [name for name, row in rows.items() if row.switch] == ["follow"]
    assert rows["count"].parse and rows["count"].parse("7", "--count") == 7
    assert rows["tags"].collect and rows["tags"].collect(["a", "b"]) == ("a", "b")
