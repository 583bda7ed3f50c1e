"""What is printed: escaped, in equal columns, and a progress line where a terminal is."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from remote import output
from remote.output import Progress
from tests.conftest import ROOT

HOSTILE = [
    ("\x1b[2J", r"\x1b[2J"),
    ("a\nb\rc", r"a\nb\rc"),
    ("\x9b31m", r"\x9b31m"),
    ("bell\x07 delete\x7f", r"bell\x07 delete\x7f"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2028next", r"\u2028next"),
    ("bad\udcff.txt", r"bad\udcff.txt"),
    ("\U000e0001", r"\U000e0001"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_could_steer_a_terminal_is_escaped(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert output.printable(text) == shown == output.printable(shown)
    output.print_lines(text, "next")
    output.say(text)
    assert capsys.readouterr() == (f"{shown}\nnext\n", f"{shown}\n")
    assert output.table([("A", "B"), (text, "x")])[1] == f"{shown}  x"


@pytest.mark.parametrize("text", ["plain", "日本\u3000語", "é😀", "a\u00a0b", "", "C:\\new"])
def test_what_is_plain_stays(text: str) -> None:
    assert output.printable(text) == text


def test_a_text_of_several_lines_keeps_them() -> None:
    assert output.printable_lines("a\x1b\n\tb\n") == "a\\x1b\n    b\n"


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE])
def test_json_for_scripts_holds_every_text_and_no_control_character(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_json({"日本": [text]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"日本": [text]} and "日本" in out
    assert all(char == "\n" or char.isprintable() for char in out)


def test_where_json_is_the_result_nothing_else_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with output.json_alone():
        output.print_lines("a line")
        output.draw_screen(["a picture"])
        output.LogOutput().write("a log\n")
        output.say("a hint")
        output.print_json({})
    output.print_lines("after")
    assert capsys.readouterr() == ("{}\nafter\n", "a log\na hint\n")


def test_the_first_few_are_said_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_first([str(number) for number in range(7)], "numbers")
    assert capsys.readouterr().err == "0\n1\n2\n3\n4\n… and 2 more numbers\n"
    output.say_first([], "numbers")
    assert capsys.readouterr().err == ""


def test_a_piece_of_a_log_keeps_its_lines_and_loses_its_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.say_log("half\r\n\x1b[1mbold\x1b[0m\x1b[2J")
    assert capsys.readouterr().err == "half\nbold\\x1b[2J"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("\x1b[1;38;5;9mred\x1b[0m\n", "\x1b[1;38;5;9mred\x1b[0m\n"),
        ("10%|#\r20%|##\b\t日本 👩\u200d💻\n", "10%|#\r20%|##\b\t日本 👩\u200d💻\n"),
        ("bar\x1b[A\x1b[2K\x1b[?25l", "bar"),
        ("\x1b]0;title\x07\x1b]52;c;cm0=\x1b\\", "\\x1b]0;title\\x07\\x1b]52;c;cm0=\\x1b\\"),
        ("\x9b2J\x90q\x00\x0c\x7f", "\\x9b2J\\x90q\\x00\\x0c\\x7f"),
        ("\u202egpj.exe\u2028\ud800", "\\u202egpj.exe\\u2028\\ud800"),
        ("\x1b7\x1bc", "\\x1b7\\x1bc"),
        ("\x1b[" + "1" * 60 + "m", "\\x1b[" + "1" * 60 + "m"),
    ],
)
@pytest.mark.parametrize("cut", ["whole", "letter by letter"])
def test_a_log_keeps_its_colours_and_steers_nothing(
    log: str, shown: str, cut: str, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = output.LogOutput()
    for piece in [log] if cut == "whole" else log:
        writer.write(piece)
    assert capsys.readouterr().out == shown


def test_a_terminal_that_lacks_a_letter_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    output.print_lines("日")
    assert buffer.getvalue() == b"\\u65e5\n"


def test_elsewhere_than_on_a_terminal_pictures_follow_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.draw_screen(["title", "\x1b[2J"])
    assert capsys.readouterr().out == "title\n\\x1b[2J\n\n"


def test_columns_are_as_wide_as_they_must() -> None:
    assert output.table([("A", "LONG"), ("value", "x")]) == ["A      LONG", "value  x"]


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("日本")
    assert capsys.readouterr() == ("", "日本\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_000_000_000_000, "7000.0 GB"),
    ],
)
def test_bytes_are_told_in_the_best_unit(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(("count", "text"), [(999_960, "1.0 MB"), (999_960_000, "1.0 GB")])
def test_what_rounds_up_takes_the_next_unit(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_one_is_not_many(count: int, text: str) -> None:
    assert output.plural(count, "file") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_time_is_told_in_words(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_a_clock_that_was_set_back_gives_no_nonsense() -> None:
    assert output.duration(-3) == "0 s"


@pytest.mark.parametrize(
    "line",
    [
        "              0   0%    0.00kB/s    0:00:00 (xfr#0, to-chk=0/1)",
        "  1,234,567  45%   12.34MB/s    0:00:01",
        "     32,768 100%   31.25MB/s    0:00:00 (xfr#1, ir-chk=1/3)",
        "      1.234  99%  131,22MB/s    0:00:00",
    ],
)
def test_rsyncs_progress_is_known(line: str) -> None:
    assert Progress("x").read_rsync(line)


@pytest.mark.parametrize(
    "line",
    ["", ">f+++++++++ 50% off.txt", "Total bytes sent: 1,234", "*deleting   50%", "100%", "sent 1"],
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert not Progress("x").read_rsync(line)


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("pushing") as progress:
        progress.read_rsync("  1,234,567  45%   12.34MB/s    0:00:01")
        progress.draw(0.5, "half")
    assert capsys.readouterr() == ("", "")


HEAD = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from remote.output import Progress
"""
DRAW = """
with Progress("pushing") as p:
    p.draw(0.0, "start")
    for step in range(50):
        p.draw(step / 50, "too fast to be seen")
    time.sleep(0.12)
    p.read_rsync("  1,234,567  45%   12.34MB/s    0:00:01")
    time.sleep(0.12)
    p.draw(1.0, "end " + "x" * 500)
"""


def drawn(columns: int, code: str = DRAW) -> list[str]:
    """What a terminal of that width was sent, cut at carriage returns."""
    master, slave = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "PYTHONUTF8": "1"}
    with subprocess.Popen([sys.executable, "-c", HEAD + code], stderr=slave, env=env) as process:
        os.close(slave)
        seen = b""
        try:
            while piece := os.read(master, 1 << 16):
                seen += piece
        except OSError:
            pass  # Linux says EIO at the end.
    os.close(master)
    assert process.returncode == 0
    return seen.decode().split("\r")


def test_a_terminal_sees_one_line_drawn_over_and_wiped() -> None:
    lines = drawn(80)
    assert "\n" not in "".join(lines)
    shown = [line for line in lines if line.strip()]
    assert len(shown) == 3, "fifty fast steps are one"
    assert "pushing [........" in shown[0] and "45%" in shown[1] and "12.34MB/s" in shown[1]
    assert shown[2].startswith("pushing [########################] 100% end")
    assert lines[-2].isspace() and lines[-1] == ""


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    assert all(len(line) < columns for line in drawn(columns))


def test_an_rsync_without_progress_is_counted_by_its_files() -> None:
    code = "p = Progress('pushing')\np.count(3)\ntime.sleep(0.12)\np.count(700)\n"
    said = "".join(drawn(80, code))
    assert "pushing 3 files" in said and "pushing 700 files" in said
    code = "p = Progress('x')\np.read_rsync('  1,234,567  45%   12.34MB/s')\ntime.sleep(0.12)\np.count(9)\n"
    told = "".join(drawn(80, code))
    assert "45%" in told and "9 files" not in told
