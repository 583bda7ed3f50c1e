"""Which experiment a notebook's own code sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.programs.notebook.documents import cell, read

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
