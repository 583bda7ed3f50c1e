"""What an adoption proposes to be the jobs' own, by what it sees in a project."""

from __future__ import annotations

import subprocess

from tests.adopt.conftest import Existing


def proposals(existing: Existing) -> list[str]:
    return [note.rpartition("\n")[2] for note in existing.plan().notes if "[tool.remote]" in note]


def test_what_programs_wrote_is_proposed_and_code_is_not(existing: Existing) -> None:
    subprocess.run(["git", "init", "-q", str(existing.root)], check=True)
    existing.write("out-shakespeare-char/ckpt.pt", "weights")
    existing.write("data/06_models/.gitkeep", "")
    existing.write("data/01_raw/.gitkeep", "")
    existing.write("models/net.py", "")
    existing.write("eval/metrics.json", "{}")
    existing.write(".gitignore", "/model.pkl\nsaved/\n*.pyc\nnode_modules/\n")
    subprocess.run(["git", "-C", str(existing.root), "add", "-f", "eval", "data"], check=True)
    assert proposals(existing) == [
        'outputs = ["data/06_models", "model.pkl", "out-shakespeare-char", "saved"]'
    ]


def test_what_is_declared_is_not_proposed_again(existing: Existing) -> None:
    existing.write("pyproject.toml", '[tool.remote]\noutputs = ["ckpt"]\n')
    existing.write("ckpt/a.pt", "x")
    assert proposals(existing) == []
    existing.write("out/a.pt", "x")
    assert proposals(existing) == ['outputs = ["ckpt", "out"]']
