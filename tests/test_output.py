"""The progress line: rsync's own words, and silence where there is no terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from remote.output import Progress
from tests.conftest import ROOT


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
    assert Progress("x").rsync(line)


@pytest.mark.parametrize(
    "line",
    ["", ">f+++++++++ 50% off.txt", "Total bytes sent: 1,234", "*deleting   50%", "100%", "sent 1"],
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert not Progress("x").rsync(line)


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("pushing")
    progress.rsync("  1,234,567  45%   12.34MB/s    0:00:01")
    progress.draw(0.5, "half")
    progress.wipe()
    assert capsys.readouterr() == ("", "")


HEAD = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from remote.output import Progress
"""
DRAW = """
p = Progress("pushing")
p.draw(0.0, "start")
for step in range(50):
    p.draw(step / 50, "too fast to be seen")
time.sleep(0.12)
p.rsync("  1,234,567  45%   12.34MB/s    0:00:01")
time.sleep(0.12)
p.draw(1.0, "end " + "x" * 500)
p.wipe()
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
    code = "p = Progress('pushing')\np.count(3)\ntime.sleep(0.12)\np.count(700)\np.wipe()\n"
    said = "".join(drawn(80, code))
    assert "pushing 3 files" in said and "pushing 700 files" in said
    code = (
        "p = Progress('x')\np.rsync('  1,234,567  45%   12.34MB/s')\ntime.sleep(0.12)\np.count(9)\n"
    )
    told = "".join(drawn(80, code))
    assert "45%" in told and "9 files" not in told
