"""Somebody who types the commands of a document in a clone of the template with every extra."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.sshd import PrivateSshd
from tests.conftest import ROOT
from tests.integration.reader import TARGET, Reader, Unknown, blocks, commands
from tests.integration.witness import Run, Store
from tests.research.conftest import Laboratory
from tests.waiting import until_it_answers

#: What the reader of these documents may type beside what the others may.
PROGRAMS = ("python", "mlflow", "git", "cd", "mkdir")
BY_MAKE = ("setup", "install")
#: Commands that serve until Ctrl-C.
SERVERS = ("inv remote-lab", "inv remote-tensorboard", "inv remote-ui", "make ui", "mlflow ui")

PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Step:
    """A command of a document: what it printed, and the runs that it left."""

    line: str
    said: str
    runs: list[Run]


@dataclass
class Researcher(Reader):
    """A reader of a clone of the template."""

    steps: list[Step] = field(default_factory=list)

    def type(self, line: str) -> None:
        words = shlex.split(line)
        typed = " ".join(words[:2])
        if typed in SERVERS and not {"--background", "--bring", "--stop"} & set(words):
            self.look(line)
        elif words[0] in PROGRAMS or (words[0] == "make" and words[1] in (*BY_MAKE, "-C")):
            if re.search(r"[|;&<>`$*?]", line):
                raise Unknown(line)
            self.run(self.meant(line))
        else:
            super().type(self.meant(line))

    def read(
        self,
        name: str,
        *,
        since: str = "",
        until: str = "",
        but: tuple[str, ...] = (),
        further: Mapping[str, str] | None = None,
    ) -> list[Step]:
        """Type the commands of a document, or of its part between two headings.

        Who looks at what they leave may type some of them otherwise, which are named by how they
        begin: those of `but`, and those that get the words of `further` at their end.
        """
        text = (ROOT / "docs" / name).read_text("utf-8")
        text = text[text.index(since) : text.index(until) if until else None]
        for path, code in files(text):
            self.project.write(path, code)
        for path, code in additions(text):
            with open(self.project.root / path, "a", encoding="utf-8") as file:
                file.write("\n" + code)
        begun = len(self.steps)
        for line in commands(text):
            if not line.startswith(but):
                more = [words for start, words in (further or {}).items() if line.startswith(start)]
                self.type(" ".join([line, *more]))
        return self.steps[begun:]

    def run(self, line: str) -> str:
        before = {run.id for run in self.runs()}
        said = super().run(line)
        new = [run for run in self.runs() if run.id not in before]
        self.steps.append(Step(line, said, new))
        return said

    def runs(self) -> list[Run]:
        store = Store(self.project.root / "mlflow.db")
        return store.runs() if store.path.exists() else []

    def meant(self, line: str) -> str:
        """The newest run that is below no other stands for RUN_ID."""
        return line.replace("RUN_ID", self.newest_run().id) if "RUN_ID" in line else line

    def newest_run(self) -> Run:
        finished = [run for run in self.runs() if run.status == "FINISHED"]
        whole = [run for run in finished if PARENT not in run.tags]
        return max(whole, key=lambda run: run.start_time)

    def remember(self, line: str) -> None:
        super().remember(line)
        if line.startswith("cd "):
            self.activated.append(line)

    def look(self, line: str) -> None:
        """Start what serves, see that the address it prints answers, end it by Ctrl-C."""
        opens = line.startswith("inv remote-") and "--no-browser" not in line
        log = self.project.root.parent / "served.log"
        with open(log, "wb") as said:
            server = subprocess.Popen(
                ["sh", "-c", self.script("exec " + line + (" --no-browser" if opens else ""))],
                cwd=self.project.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until_it_answers(lambda: _address(log), server, log, or_refuses=True)
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.wait(60)


def _address(log: Path) -> str:
    found = re.search(r"http://(?:127\.0\.0\.1|localhost):\d+\S*", log.read_text("utf-8"))
    return found[0].rstrip(".,)") if found else ""


def begin(lab: Laboratory, sshd: PrivateSshd) -> Researcher:
    """A reader who has done what the README says to do once."""
    folder = lab.env.pop("TARGET_DIR").partition(":")[2]
    reader = Researcher(lab, sshd, folder)
    for line in commands((ROOT / "README.md").read_text("utf-8")):
        if line.split()[0] in ("make", ".", "cp", "install") and line not in (
            "make demo",
            "make test",
        ):
            reader.type(line)
        if TARGET in line:
            break
    return reader


def typed(steps: list[Step], words: str, number: int = 0) -> Step:
    """The first command, or the one of `number`, in which `words` stand."""
    return [step for step in steps if words in step.line][number]


def files(text: str) -> list[tuple[str, str]]:
    """What the document has its reader write: Python whose first line is a comment with a path."""
    found = []
    for block in blocks(text, "python"):
        path = re.match(r"# (src/\S+\.py)\n", block)
        if path:
            found.append((path[1], block))
    return found


def additions(text: str) -> list[tuple[str, str]]:
    """What the document has its reader add to a file: YAML whose first line is its path."""
    found = ((re.match(r"# (config/\S+\.yaml)\n", block), block) for block in blocks(text, "yaml"))
    return [(path[1], block) for path, block in found if path]
