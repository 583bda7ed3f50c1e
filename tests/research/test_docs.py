"""The documents of the research side: their commands are typed in a clone with every extra."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd
from tests.conftest import ROOT
from tests.integration.reader import TARGET, Reader, Unknown, blocks, commands
from tests.integration.test_docs import WITH_EXTRAS
from tests.research.conftest import Make
from tests.waiting import until_it_answers

#: What the reader of these documents may type beside what the others may.
PROGRAMS = ("python", "mlflow", "git", "cd", "mkdir")
BY_MAKE = ("setup", "install")
#: Commands that serve until Ctrl-C.
SERVERS = ("inv remote-lab", "inv remote-tensorboard", "inv remote-ui", "make ui", "mlflow ui")


class Researcher(Reader):
    """A reader of a clone of the template."""

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

    def meant(self, line: str) -> str:
        """The newest run stands for RUN_ID."""
        return line.replace("RUN_ID", self.newest_run()) if "RUN_ID" in line else line

    def newest_run(self) -> str:
        query = "SELECT run_uuid FROM runs WHERE status = 'FINISHED' ORDER BY start_time DESC"
        with closing(sqlite3.connect(self.project.root / "mlflow.db")) as store:
            return str(store.execute(query).fetchone()[0])

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


DOCUMENTS = [ROOT / "docs" / name for name in WITH_EXTRAS if (ROOT / "docs" / name).is_file()]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_of_the_documents_work(
    document: Path, laboratory: Make, sshd: PrivateSshd
) -> None:
    lab = laboratory(f"doc-{document.stem}")
    folder = lab.env.pop("TARGET_DIR").partition(":")[2]
    reader = Researcher(lab, sshd, folder)
    for line in commands((ROOT / "README.md").read_text("utf-8")):
        if line.split()[0] in ("make", ".", "cp") and line not in ("make demo", "make test"):
            reader.type(line)
        if TARGET in line:
            break
    text = document.read_text("utf-8")
    for name, code in files(text):
        lab.write(name, code)
    for name, code in additions(text):
        with open(lab.root / name, "a", encoding="utf-8") as file:
            file.write("\n" + code)
    for line in commands(text):
        reader.type(line)


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
