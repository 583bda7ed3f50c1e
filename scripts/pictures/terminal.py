"""A terminal that is typed into and looked at: a tmux of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOCKET = f"remote-pictures-{os.getpid()}"
PROMPT = "$ "
#: How often a recording looks, and the longest pause that it keeps, in seconds.
LOOK, PAUSE = 0.1, 1.2


@dataclass
class Frame:
    """All lines of a screen, with their escape sequences, and since when it showed them."""

    lines: list[str]
    start: float


@dataclass
class Terminal:
    columns: int
    rows: int
    prompts: Path
    """The shell adds a byte before each prompt."""
    frames: list[Frame] = field(default_factory=list)

    def screen(self, *, colours: bool = True) -> list[str]:
        escapes = ["-e"] if colours else []
        return _tmux("capture-pane", "-p", *escapes, "-t", "shown").split("\n")[: self.rows]

    def type(self, line: str) -> None:
        """Type a command letter by letter, and have it run."""
        for letter in line:
            self.press(letter)
            self.look(0.03)
        self.look(0.4)
        self.press("Enter")

    def press(self, key: str) -> None:
        literally = [] if key in ("Enter", "Escape", "C-c") else ["-l"]
        _tmux("send-keys", "-t", "shown", *literally, key)

    def run(self, line: str, seconds: float = 900) -> None:
        """Type a command and wait until the prompt is back."""
        before = self._prompts
        self.type(line)
        self.wait(lambda: self._prompts > before, seconds)

    def wait(self, seen: Callable[[], bool], seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not seen():
            if time.monotonic() > end:
                raise TimeoutError("\n".join(self.screen(colours=False)))
            self.look(LOOK)

    def look(self, seconds: float) -> None:
        """Keep what is shown from now on, for so long."""
        end = time.monotonic() + seconds
        while True:
            lines = self.screen()
            if not self.frames or lines != self.frames[-1].lines:
                self.frames.append(Frame(lines, time.monotonic()))
            if time.monotonic() >= end:
                return
            time.sleep(min(LOOK, seconds))

    def clear(self) -> None:
        self.run("clear")
        self.frames.clear()

    def recording(self) -> tuple[list[Frame], float]:
        """The frames from second 0 on, without the pauses in which nothing moves; the length."""
        shown, at = [], 0.0
        ends = [frame.start for frame in self.frames[1:]] + [time.monotonic()]
        for frame, end in zip(self.frames, ends):
            shown.append(Frame(frame.lines, at))
            at += min(end - frame.start, PAUSE)
        return shown, at + 3 * PAUSE

    @property
    def _prompts(self) -> int:
        return len(self.prompts.read_bytes()) if self.prompts.exists() else 0


@contextmanager
def opened(columns: int, rows: int, cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """A shell with a bare prompt."""
    prompts = cwd.parent / "prompts"
    own = {"PS1": PROMPT, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    own["PROMPT_COMMAND"] = f"printf . >>{shlex.quote(str(prompts))}"
    words = [f"{key}={value}" for key, value in {**env, **own}.items()]
    shell = ["env", "-i", *words, "bash", "--norc", "--noprofile"]
    size = ["-x", str(columns), "-y", str(rows), "-c", str(cwd)]
    terminal = Terminal(columns, rows, prompts)
    try:
        _tmux("-f", "/dev/null", "new-session", "-d", "-s", "shown", *size, *shell)
        _tmux("set-option", "-g", "status", "off")
        terminal.wait(prompts.exists)
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True)
        prompts.unlink(missing_ok=True)


def _tmux(*words: str) -> str:
    done = subprocess.run(
        ["tmux", "-L", SOCKET, *words], check=True, capture_output=True, text=True
    )
    return done.stdout
