from __future__ import annotations

import re
import subprocess

from remote.adopt import block
from remote.adopt.part import given, paragraphs
from tests.adopt.conftest import Existing
from tests.conftest import ROOT


def test_only_what_a_file_lacks_is_added(existing: Existing) -> None:
    existing.write(".gitignore", "/.remote\n# mlruns/\n.env\n*.pt")
    existing.write(".rsyncignore", "big/\n.venv/\n")
    assert block.inside(existing.after(".gitignore")) == ["mlflow.db*", "mlruns/"]
    added = block.inside(existing.after(".rsyncignore"))
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
    existing.write(".gitignore", text.replace("mlruns/\n", "of mine\n") + "z\n")
    after = existing.after(".gitignore")
    assert block.inside(after)[-2:] == ["of mine", "mlruns/"] and after.endswith("\nz\n")


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
    assert existing.after(".gitignore") == given("gitignore")


def test_what_is_written_is_what_the_template_has() -> None:
    ours = (ROOT / ".rsyncignore").read_text().splitlines()
    assert [line for line in ours if line in given("rsyncignore").splitlines()] == given(
        "rsyncignore"
    ).splitlines()
    template = list(paragraphs((ROOT / ".env.example").read_text()))
    settings = [each for each in paragraphs(given("env.example")) if "=" in each]
    assert settings and [each for each in settings if each not in template] == []
    of_jobs = re.findall(r"^#?((?:REMOTE|TARGET)_\w+)=", (ROOT / ".env.example").read_text(), re.M)
    assert [name for name in of_jobs if f"{name}=" not in given("env.example")] == []
