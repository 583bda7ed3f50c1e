from __future__ import annotations

import re
import subprocess

from remote.adopt import block
from remote.adopt.change import paragraphs, template
from tests.adopt.conftest import Existing
from tests.conftest import ROOT


def in_block(text: str) -> list[str]:
    return text.partition(block.BEGIN)[2].partition(block.END)[0].split()


def test_only_what_a_file_lacks_is_added(existing: Existing) -> None:
    existing.write(".gitignore", "/.remote\n# mlruns/\n.env\n*.pt")
    existing.write(".rsyncignore", "big/\n.venv/\n")
    assert in_block(existing.after(".gitignore")) == ["mlflow.db*", "mlruns/"]
    added = in_block(existing.after(".rsyncignore"))
    assert "__pycache__/" in added and ".venv/" not in added


def test_a_setting_that_is_there_is_not_added_again(existing: Existing) -> None:
    existing.write(
        ".env.example", "export TARGET_DIR=me@there:/x\r\n# REMOTE_PROXY=laptop\r\nMY_VAR=1"
    )
    after = existing.after(".env.example")
    assert after.startswith(
        "export TARGET_DIR=me@there:/x\r\n# REMOTE_PROXY=laptop\r\nMY_VAR=1\r\n"
    )
    assert (
        "#REMOTE_NOTIFY=\r\n" in after
        and after.count("TARGET_DIR=") == after.count("REMOTE_PROXY=") == 1
    )


def test_what_was_taken_out_of_the_block_comes_back_into_it(existing: Existing) -> None:
    existing.write(".gitignore", "a\n")
    existing.adopt()
    text = (existing.root / ".gitignore").read_text()
    existing.write(".gitignore", text.replace("mlruns/\n", "") + "z\n")
    after = existing.after(".gitignore")
    assert in_block(after)[-1] == "mlruns/" and after.endswith("\nz\n")


def test_environments_stay_here_whatever_they_are_called(existing: Existing) -> None:
    existing.write("my [env]/pyvenv.cfg", "")
    existing.write("conda/conda-meta/history", "")
    existing.write("envelope/letter.txt", "")
    existing.adopt()
    argv = ["rsync", "-an", "--out-format=%n", "--exclude-from=.rsyncignore", "./", "there/"]
    sent = subprocess.run(
        argv, cwd=existing.root, capture_output=True, text=True, check=True
    ).stdout
    assert "envelope/letter.txt" in sent and "conda" not in sent and "[env]" not in sent


def test_without_git_there_is_nothing_to_ignore(existing: Existing) -> None:
    assert ".gitignore" not in [change.name for change in existing.plan().changes]
    (existing.root / ".git").mkdir()
    assert existing.after(".gitignore") == template("gitignore")


def test_what_is_written_is_what_this_project_has() -> None:
    lines = template("rsyncignore").splitlines()
    assert [
        line for line in (ROOT / ".rsyncignore").read_text().splitlines() if line in lines
    ] == lines
    example = (ROOT / ".env.example").read_text()
    settings = [each for each in paragraphs(template("env.example")) if "=" in each]
    assert settings and [each for each in settings if each not in paragraphs(example)] == []
    of_jobs = re.findall(r"^#?((?:REMOTE|TARGET)_\w+)=", example, re.M)
    assert [name for name in of_jobs if f"{name}=" not in template("env.example")] == []
