"""Somebody who types the commands of a document."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from remote.tasks import namespace
from scripts.sshd import PrivateSshd, free_port
from tests import warm_inv
from tests.conftest import INV, ROOT, ProjectFolder
from tests.tracking.merge.conftest import Project
from tests.waiting import until_it_answers

#: Run by other tests and by hand: they install packages, ask a package index, or run this very test.
RUN_ELSEWHERE = ("demo", "test", "bench", "lock", "lab-up", "lab-down", "lab-build")
#: What a document may tell its reader to type.
RUN_BY_MAKE = ("install", "help", "sync-push", "sync-pull", "remote-ps", "run", "format")
PLAIN = ("cp", "install", ".", "rsync")

#: Stand-ins of the documents for what is the reader's own.
TARGET, HOST, FOLDER = "user@host:/proj", "user@host", "/proj"
BACKUP = "20260131-120000"

#: What a push adds to that: others may push in the same second.
SUFFIX = "-[0-9a-f]{4}"


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks marked with `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines to type; what ends with a backslash goes on in the next line."""
    whole = (re.sub(r"\\\n\s*", " ", block) for block in blocks(text, "sh"))
    return [line for block in whole for line in block.splitlines() if line.strip()]


def existing_commands(*makefiles: Path) -> set[str]:
    """`inv x` and `make y` of the project; of these Makefiles where any are given."""
    tasks = set() if makefiles else {f"inv {name}" for name in namespace.task_names}
    for makefile in makefiles or (ROOT / "Makefile",):
        text = makefile.read_text()
        rules = set(re.findall(r"^([a-z][a-z_-]*):", text, re.MULTILINE))
        phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
        assert phony and set(phony[1].split()) == rules, makefile
        tasks |= {f"make {name}" for name in rules}
    return tasks


class Unknown(Exception):
    """A command that this test does not know how to treat."""


@dataclass
class Reader:
    """Somebody who types a document's commands, one after the other, in a copy of the project."""

    project: ProjectFolder
    server: PrivateSshd
    folder: str
    activated: list[str] = field(default_factory=list)

    @property
    def target(self) -> Path:
        """The target, seen from this machine."""
        return self.server.home / self.folder

    def type(self, line: str) -> None:
        """Do what the document says; raises Unknown, or fails the test where it fails."""
        words = shlex.split(line)
        if re.search(r"[|;&<>`$*?\\]", line):
            raise Unknown(line)
        if words[0] == "make" and words[1:] and words[1] in RUN_ELSEWHERE:
            assert f"make {words[1]}" in existing_commands(), line
        elif words in (["mlflow", "ui"], ["inv", "ui"]):
            self.look(line)
        elif words == ["inv", "watch"] or "--watch" in words:
            self.interrupt(line)
        elif BACKUP in line:
            self.restore(line)
        elif words[0] == "ssh" and words[-1] == f"{FOLDER}/.remote/backup":
            self.deleted_by_a_push()
            for name in self.run(line).split():
                assert re.fullmatch(re.sub(r"\d", r"\\d", BACKUP) + SUFFIX, name), name
        elif _is_ordinary(words):
            if "../colleague" in words:
                self.a_colleague()
            if words[:2] == ["inv", "remote-put"]:
                self.own(words[2 : words.index("--to")])
            self.run(line)
            self.wait_for_what_began(words)
        else:
            raise Unknown(line)

    def run(self, line: str) -> str:
        """Run one line as it would run in the reader's own shell; what it printed comes back."""
        script = self.script(line)
        # Not where the reader has an environment of their own.
        own = (self.project.root / ".venv/bin/inv").resolve() == INV.resolve()
        is_copied = own and self.activated and line.startswith("inv ")
        code, said = self._copied(script.splitlines()[-1]) if is_copied else self._started(script)
        assert code == 0, f"{line}\n{said}"
        self.remember(line)
        return said

    def _started(self, script: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.project.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout

    def _copied(self, line: str) -> tuple[int, str]:
        """The same by a Python that is there already."""
        path = os.pathsep.join([str(INV.parent), self.env["PATH"]])
        env = {**self.env, "VIRTUAL_ENV": sys.prefix, "PATH": path}
        code, *said = warm_inv.run([str(INV), *shlex.split(line)[1:]], self.project.root, env)
        return code, "".join(said)

    def script(self, line: str) -> str:
        here = line.replace(TARGET, shlex.quote(f"gpu:{self.folder}"))
        here = here.replace("--epoch 1000", "--epoch 2").replace("epoch=100 ", "epoch=2 ")
        here = here.replace("limit=500", "limit=90")
        if here.startswith("ssh "):
            config = shlex.quote(str(self.server.config))
            here = here.replace(f"ssh {HOST}", f"ssh -F {config} gpu")
            here = here.replace(FOLDER, self.folder)
        if HOST in here or FOLDER + "/" in here or BACKUP in here:
            raise Unknown(line)
        return "\n".join([*self.activated, here])

    def own(self, names: list[str]) -> None:
        """Have the files and folders that the document takes for the reader's."""
        for name in names:
            home, folder = Path(self.env["HOME"]), name.endswith("/")
            path = self.project.root / name.replace("~", str(home))
            file = path / "file" if folder else path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)

    def remember(self, line: str) -> None:
        if line.startswith(". "):
            self.activated.append(line)
        if line == "install -m 600 .env.example .env":
            settings = self.project.root / ".env"
            text = settings.read_text()
            assert TARGET in text
            settings.write_text(text.replace(TARGET, f"gpu:{self.folder}"))

    def wait_for_what_began(self, words: list[str]) -> None:
        """What a document says next is about a job that ran; it must have gone well."""
        if words[:2] == ["inv", "remote-run"] and "--follow" not in words:
            self.run("inv remote-logs last --follow")

    @property
    def env(self) -> dict[str, str]:
        """The reader's environment: no virtual environment, and no target but what .env says."""
        kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        own = str(Path(sys.executable).parent)
        folders = [each for each in kept["PATH"].split(os.pathsep) if each != own]
        return {
            **kept,
            **self.project.env,
            "PATH": os.pathsep.join(folders),
            "RSYNC_RSH": f"ssh -F '{self.server.config}'",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def look(self, line: str) -> None:
        """Start the UI on a port of its own, see it answer, end it."""
        port = free_port()
        ui = self._begin(f"{line} --port {port}", subprocess.DEVNULL)
        try:
            until_it_answers(lambda: f"http://127.0.0.1:{port}/health", ui)
        finally:
            os.killpg(ui.pid, signal.SIGTERM)
            ui.wait(60)

    def interrupt(self, line: str) -> None:
        """Type what goes on until Ctrl-C, and that once it has done its first round."""
        command = self._begin(line, subprocess.PIPE)
        assert command.stderr
        said = ""
        while "Ctrl-C ends it." not in said:
            assert (text := command.stderr.readline()), f"{line}\n{said}"
            said += text
        command.send_signal(signal.SIGINT)
        assert command.stderr.read().startswith("Stopped: ") and command.wait(60) == 130

    def _begin(self, line: str, stderr: int) -> subprocess.Popen[str]:
        """Type what goes on, with a session of its own."""
        return subprocess.Popen(
            ["sh", "-c", self.script(f"exec {line}")],
            cwd=self.project.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def restore(self, line: str) -> None:
        """Lose a file the way the document has it, then bring it back by its command."""
        if f"pull-{BACKUP}" in line:
            lost, content = self.replaced_by_a_pull(), "mine"
            backups = self.project.root / ".remote/backup"
        else:
            lost, content = self.deleted_by_a_push(), "lost"
            backups = self.target / ".remote/backup"
        newest = sorted(backups.iterdir())[-1].name.replace("pull-", "")
        self.run(re.sub(f"{BACKUP}({SUFFIX})?", newest, line))
        assert lost.read_text() == content, line

    def a_colleague(self) -> None:
        """Has a project with a run of their own."""
        root = self.project.root.parent / "colleague"
        store = Project(root, self.project.root)
        store.run(store.experiment("a colleague's"))

    def deleted_by_a_push(self) -> Path:
        lost = self.project.write("src/lost.py", "lost")
        self.run("make sync-push")
        lost.unlink()
        self.run("make sync-push")
        assert not (self.target / "src/lost.py").exists()
        return lost

    def replaced_by_a_pull(self) -> Path:
        (self.target / "logs/note.txt").write_text("the server's")
        mine = self.project.write("logs/note.txt", "mine")
        self.run("make sync-pull")
        assert mine.read_text() == "the server's"
        return mine


def _is_ordinary(words: list[str]) -> bool:
    if words[0] == "make":
        return words[1:2] != [] and words[1] in RUN_BY_MAKE
    return words[0] in ("inv", *PLAIN) or words[:2] == ["ssh", HOST]
