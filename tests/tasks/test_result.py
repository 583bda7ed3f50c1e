"""What a command prints for who asks for JSON."""

from __future__ import annotations

import json

import pytest
from invoke.exceptions import Exit

from remote.tasks.exits import exit_on_error
from remote.tasks.result import refuse_question, with_json


def test_a_question_is_refused_where_nobody_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    body = exit_on_error(with_json(lambda: refuse_question("--yes removes it.")))
    body()
    with pytest.raises(Exit):
        body(json=True)
    error = {"message": "With --json nothing is asked.", "next": "--yes removes it."}
    assert json.loads(capsys.readouterr().out) == {"error": error}
