"""A Chromium without a window, driven over its debugging pipe."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1500,1000",
)
LIMIT = 60.0  # seconds until a page must show what it is asked for


class NotShown(AssertionError):
    """A page that doesn't show what it should."""


@dataclass
class Browser:
    """Chromium's commands are JSON, each ended by a zero byte; so are its answers."""

    to: int
    back: int
    _held: bytes = b""
    _last: int = 0

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The result of one command; what Chromium tells beside it is passed over."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            if not select.select([self.back], [], [], LIMIT)[0]:
                raise RuntimeError("Chromium gives no answer")
            piece = os.read(self.back, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium has ended")
            self._held += piece
        message, _, self._held = self._held.partition(b"\0")
        return dict(json.loads(message))

    @contextlib.contextmanager
    def page(self, address: str) -> Iterator[Page]:
        target = self.call("Target.createTarget", url=address)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            yield Page(self, session, address)
        finally:
            self.call("Target.closeTarget", targetId=target)


@dataclass(frozen=True)
class Page:
    browser: Browser
    session: str
    address: str

    def ask(self, script: str) -> Any:
        """The value of a piece of JavaScript."""
        done = self.browser.call(
            "Runtime.evaluate", self.session, expression=script, returnByValue=True
        )
        return done["result"].get("value")

    @property
    def text(self) -> str:
        """What is to be read on it now."""
        return str(self.ask("document.body ? document.body.innerText : ''"))

    def wait(self, script: str) -> Any:
        """The value of `script`, once it has one that counts as true."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found = self.ask(script)
            if found:
                return found
            time.sleep(0.1)
        raise NotShown(f"{self.address}: not true: {script}\n{self.text[:3000]}")

    def shows(self, *words: str) -> None:
        """Wait until all words can be read."""
        for word in words:
            self.wait(f"document.body && document.body.innerText.includes({json.dumps(word)})")

    def click(self, script: str) -> None:
        """Click the middle of the element that `script` finds, as a hand would."""
        place = self.wait(
            f"(() => {{ const found = {script}; if (!found) return null;"
            " found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect();"
            " return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.browser.call(
                "Input.dispatchMouseEvent",
                self.session,
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )

    def press(self, text: str) -> None:
        """Click what says exactly `text`."""
        said = json.dumps(text)
        self.click(f"[...document.querySelectorAll('*')].findLast(e => e.innerText === {said})")

    def shot(self, file: Path) -> None:
        """A picture of it, for whoever wants to look."""
        file.parent.mkdir(parents=True, exist_ok=True)
        data = self.browser.call("Page.captureScreenshot", self.session, format="png")["data"]
        file.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def running(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; skips where none is installed."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("no Chromium is installed: sudo apt-get install chromium")
    commands, to = os.pipe()
    back, answers = os.pipe()

    def place() -> None:
        # Chromium reads from 3 and writes to 4; neither pipe may lie there already.
        one, other = os.dup(commands), os.dup(answers)
        high = [os.dup2(one, 103), os.dup2(other, 104)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=place,
        pass_fds=(3, 4),
        start_new_session=True,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Browser(to, back)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        os.close(to)
        os.close(back)
