"""`inv watch`, running: what is saved is there, and what a push protects stays as it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, running
from tests.conftest import INV, ProjectFolder, make_project, new_home
from tests.waiting import until

ODD = ("with space.py", "quote'\".py", "line\nbreak.py", "$(touch pwned).py", "-dash.py")
ODD += ("a*b?[c].py", "日本.py", "back\\slash.py", "new\n'folder\"/*/deep.py")


@dataclass
class Watch:
    """A project, its target on a server of its own, and `inv watch` in between."""

    project: ProjectFolder
    server: PrivateSshd
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def there(self) -> Path:
        return self.server.home / "target"

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    @property
    def lines(self) -> list[str]:
        return self.said.splitlines()

    def save(self, name: str, text: str) -> None:
        """Write it here, and wait until it is there."""
        self.project.write(name, text)
        until(lambda: self.has(name, text))

    def has(self, name: str, text: str) -> bool:
        file = self.there / name
        return file.is_file() and file.read_text() == text

    def settle(self) -> None:
        """Wait until all that changed before has been pushed."""
        self.save("src/fence.py", f"{time.monotonic()}")


def start(project: ProjectFolder, said: Path, **env: str) -> subprocess.Popen[bytes]:
    with open(said, "wb") as out:
        return subprocess.Popen(
            [str(INV), "watch"],
            cwd=project.root,
            env={**os.environ, **project.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    folder = tmp_path_factory.mktemp("watch")
    server = PrivateSshd(folder / "sshd", folder / "server's home")
    with running(server):
        place = {"TARGET_DIR": "gpu:target", "REMOTE_SSH_CONFIG": str(server.config)}
        project = make_project(folder / "project", **place, **new_home(folder / "home"))
        project.write("src/first.py", "first")
        project.write("src/package/inner/module.py", "inner")
        process = start(project, folder / "said")
        made = Watch(project, server, folder, process)
        try:
            until(lambda: "Ctrl-C" in made.said or process.poll() is not None)
            assert process.poll() is None, made.said
            yield made
        finally:
            process.kill()
            process.wait()


def test_what_is_saved_is_there_under_whatever_name(watch: Watch) -> None:
    assert watch.has("src/first.py", "first") and watch.lines[0].startswith("pushed to gpu:target")
    watch.save("src/first.py", "second")
    until(lambda: "  src/first.py, " in watch.said)
    for name in ODD:
        watch.save(f"src/odd/{name}", name)
    # Folders may go meanwhile in which a push kept what it had not finished.
    assert not any("pwned" in names for _, _, names in os.walk(watch.server.home))
    # rsync takes files of one size and second for the same.
    for number in range(10, 20):
        watch.save("src/first.py", f"{number}")
    # As editors save.
    new = watch.project.write("src/.first.py.tmp~", "by rename")
    os.replace(new, watch.project.root / "src/first.py")
    until(lambda: watch.has("src/first.py", "by rename"))
    watch.settle()
    assert not (watch.there / "src/.first.py.tmp~").exists()
    # A name with a line break is told in one line, as rsync writes it.
    assert "  src/odd/line\\nbreak.py, " in watch.said


def test_what_is_deleted_or_renamed_follows_and_is_kept(watch: Watch) -> None:
    root, there = watch.project.root, watch.there
    watch.save("src/gone.py", "gone")
    watch.save("src/untouched/here.py", "")
    (there / "src/untouched/by_hand.py").write_text("")
    (root / "src/gone.py").unlink()
    until(lambda: not (there / "src/gone.py").exists())
    until(lambda: [file.read_text() for file in there.glob(".remote/backup/*/src/gone.py")])
    os.rename(root / "src/package", root / "src/renamed")
    until(lambda: watch.has("src/renamed/inner/module.py", "inner"))
    until(lambda: not (there / "src/package").exists())
    shutil.move(root / "src/renamed/inner", root / "src/moved")
    until(lambda: watch.has("src/moved/module.py", "inner"))
    shutil.rmtree(root / "src/moved")
    watch.save("src/moved", "a file where a folder was")
    # Only where something changed here is looked what is there.
    assert (there / "src/untouched/by_hand.py").exists()


def test_what_a_push_protects_is_protected(watch: Watch) -> None:
    root, there = watch.project.root, watch.there
    watch.save("data/raw/sub/large.bin", "raw")
    for name in ("data/results/job", "data/raw/downloaded", "mlflow.db", "build/job"):
        file = there / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("by a job")
    watch.save(".rsyncignore", (root / ".rsyncignore").read_text() + "/build/\n*.log\n")
    kept = ("build/mine", "src/a.log", ".env", "src/id_rsa", "mlflow.db", "data/results/job")
    kept += ("outputs/mine", ".git/config", "__pycache__/a.pyc", ".ssh/config")
    for name in kept:
        watch.project.write(name, "mine")
    watch.settle()
    shutil.rmtree(root / "build")
    shutil.rmtree(root / "data/raw")
    shutil.rmtree(root / "data/results")
    watch.settle()
    mine = [name for name in kept if watch.has(name, "mine")]
    assert not mine and watch.has("data/raw/sub/large.bin", "raw")
    for name in ("data/results/job", "data/raw/downloaded", "mlflow.db", "build/job"):
        assert watch.has(name, "by a job"), name
    shutil.rmtree(root / ".git")


def test_a_checkout_of_many_files_is_one_push(watch: Watch) -> None:
    root = watch.project.root

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "tasks.py")
    git("commit", "-q", "-m", "one")
    git("checkout", "-q", "-b", "many")
    for number in range(500):
        watch.project.write(f"src/many/{number % 20}/m{number}.py", f"{number}")
    git("add", "src/many")
    git("commit", "-q", "-m", "many")
    git("checkout", "-q", "main")
    until(lambda: not (watch.there / "src/many").exists())
    watch.settle()
    before = len(watch.lines)
    git("checkout", "-q", "many")
    until(lambda: len(list((watch.there / "src/many").glob("*/*.py"))) == 500)
    watch.settle()
    pushes = [line for line in watch.lines[before:] if "src/many/" in line]
    assert len(pushes) == 1 and " more, " in pushes[0], watch.said


def test_what_changed_while_it_was_stopped_is_pushed_though_the_system_dropped_it(
    watch: Watch,
) -> None:
    held = Path("/proc/sys/fs/inotify/max_queued_events")
    most = int(held.read_text()) if held.exists() else 0
    noise = [watch.project.write(f"outputs/{name}", "") for name in "ab"]
    watch.settle()
    watch.process.send_signal(signal.SIGSTOP)
    # Those of one file that follow each other count once.
    for number in range(most + 1):
        os.utime(noise[number % 2])
    watch.project.write("src/dropped/new/late.py", "late")
    watch.process.send_signal(signal.SIGCONT)
    until(lambda: watch.has("src/dropped/new/late.py", "late"))
    # And the folder, of which nothing was told, is watched from then on.
    watch.save("src/dropped/new/late.py", "later")


def test_a_push_by_another_laptop_in_between_leads_to_a_whole_one(
    watch: Watch, tmp_path: Path
) -> None:
    # A whole push may be due for what the system dropped before, and bring the first fence itself.
    watch.settle()
    watch.settle()
    other = make_project(tmp_path / "other", **watch.project.env)
    other.write("src/theirs.py", "theirs")
    other.inv("sync-push", "--delete")
    assert watch.has("src/theirs.py", "theirs") and not watch.has("src/first.py", "by rename")
    watch.save("src/untouched/here.py", "mine")
    # As `inv sync-push` has it: the tree is as it is here, and what was there is kept.
    until(lambda: not (watch.there / "src/theirs.py").exists())
    assert list(watch.there.glob(".remote/backup/*/src/theirs.py"))
    assert (watch.there / "src/first.py").exists()


def test_a_link_that_is_cut_heals_and_ctrl_c_ends_it_in_one_line(watch: Watch) -> None:
    watch.settle()
    before = len(watch.lines)
    watch.server.stop()
    watch.project.write("src/meanwhile.py", "first")
    until(lambda: "It is tried again" in watch.said)
    watch.project.write("src/meanwhile.py", "second")
    (watch.project.root / "src/first.py").unlink()
    watch.server.start()
    until(lambda: watch.has("src/meanwhile.py", "second"))
    until(lambda: "gpu:target has the same files again." in watch.said)
    assert not (watch.there / "src/first.py").exists()
    assert watch.said.count("It is tried again") == 1, watch.lines[before:]
    watch.process.send_signal(signal.SIGINT)
    before = len(watch.lines)
    assert watch.process.wait(60) == 130
    assert watch.lines[before:] == ["Stopped: later changes are not pushed."]
