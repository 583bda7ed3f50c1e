"""`remote-gpu-workflow` itself: its help, and how it ends."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest

from remote.__main__ import main
from remote.adopt import command


def test_without_words_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert command.ABOUT.split(".")[0] in " ".join(shown.split())
    assert "`inv --list`" in shown


def test_an_unknown_word_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["adpot"])
    assert ended.value.code == 2 and "adpot" in capsys.readouterr().err


def test_an_error_for_the_user_is_told_in_two_lines_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adopt", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and str(tmp_path / "nowhere") in said.err
    assert "Traceback" not in said.err


def test_ctrl_c_ends_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(arguments: Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "adopt", interrupted)
    assert main(["adopt", str(tmp_path)]) == 130
    assert capsys.readouterr().err.split() == ["Interrupted."]


def test_without_the_package_mcp_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    assert main(["mcp"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.endswith("\nInstall it: uv pip install 'mcp>=2'\n")
