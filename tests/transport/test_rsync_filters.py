"""Which files rsync's filters let through: the real rsync."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.transport.rsync_filters import IgnoreFile, only_filters


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*.csv"], {"a.csv", "exp/b.csv", "exp/deep/c.csv"}),
        (["data/results/exp"], {"exp/b.csv", "exp/deep/c.csv", "exp/d.txt"}),
        (["data/*/exp/*.txt", "data/results/a.csv"], {"exp/d.txt", "a.csv"}),
        (["deep"], {"exp/deep/c.csv"}),
        (["data"], {"a.csv", "exp/b.csv", "exp/deep/c.csv", "exp/d.txt", "- x"}),
        (["- x"], {"- x"}),
        (["logs/a.csv"], None),
    ],
)
def test_a_pull_of_some_results_brings_those_alone(
    patterns: list[str], wanted: set[str] | None, tmp_path: Path
) -> None:
    filters = only_filters(patterns, "data/results")
    if wanted is None or filters is None:
        assert filters is wanted
        return
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a.csv", "exp/b.csv", "exp/deep/c.csv", "exp/d.txt", "- x"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    subprocess.run(["rsync", "-r", *filters, f"{source}/", f"{target}/"], check=True)
    files = (path for path in target.rglob("*") if path.is_file())
    assert {path.relative_to(target).as_posix() for path in files} == wanted


def test_a_list_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".rsyncignore").mkdir()
    with pytest.raises(ConfigError, match="rsyncignore can't be read") as told:
        IgnoreFile.of(tmp_path)
    assert "a text file" in told.value.hint
