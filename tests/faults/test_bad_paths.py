"""Paths that can't be read, written or replaced: what can be moved is moved, the rest is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import FINISHED
from scripts.sshd import PrivateSshd, running
from tests.conftest import SOCKET, ProjectFolder, make_project
from tests.machine import heed_modes
from tests.stores import empty_store

#: What a command exits with that did all but some paths.
NOT_ALL = 3


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, sshd: PrivateSshd) -> Iterator[PrivateSshd]:
    """A server on which modes count, also where root runs the tests."""
    folder = tmp_path_factory.mktemp("strict")
    shell = heed_modes("/bin/bash", folder / "bin")
    server = PrivateSshd(folder, folder / "home", shell=str(shell))
    with running(server):
        yield server


@pytest.fixture
def project(tmp_path: Path, strict: PrivateSshd, request: pytest.FixtureRequest) -> ProjectFolder:
    """A project that was pushed; modes count for its rsync, too."""
    made = make_project(
        tmp_path / "project",
        TARGET_DIR=f"gpu:{request.node.name}",
        REMOTE_SSH_CONFIG=str(strict.config),
        REMOTE_TMUX_SOCKET=SOCKET,
        PATH=f"{heed_modes('rsync', tmp_path / 'bin').parent}:{os.environ['PATH']}",
    )
    empty_store(made.root)
    made.inv("sync-push")
    return made


@pytest.fixture
def there(project: ProjectFolder, strict: PrivateSshd) -> Path:
    return strict.home / project.env["TARGET_DIR"].partition(":")[2]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def end_job(root: Path, name: str) -> str:
    """An ended job's folder."""
    paths = JobPaths(root, f"20260101-090000-{name}-aaaa")
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": paths.id, "kind": "command", "source": "", "name": name})
    write_json(paths.status, {"state": FINISHED})
    return paths.id


def add_run(root: Path, run: str) -> Path:
    """A finished run; its artifact."""
    tags = {"mlflow.runName": "sunny", "mlflow.user": "ada"}
    begun = run_rows.begin(
        root / "mlflow.db", experiment="digits", run_id=run, tags=tags, start_ms=1000
    )
    run_rows.close(root / "mlflow.db", run, status="FINISHED", end_ms=9000)
    return write(begun.artifact_dir / "note.txt", run)


def test_what_can_not_be_read_there_stays_there_and_all_the_rest_comes(
    project: ProjectFolder, there: Path
) -> None:
    empty_store(there)
    artifact, _ = add_run(there, "r" * 32), add_run(there, "s" * 32)
    job, secret = end_job(there, "first"), write(there / "data/results/secret.csv", "1")
    write(there / "data/results/sub/good.csv", "2")
    write(there / "logs/l.txt", "3")
    closed = there / "outputs/closed"
    write(closed / "x", "4")
    for path in (secret, artifact, closed):
        path.chmod(0)

    done = project.inv("sync-pull", check=False)
    assert done.code == NOT_ALL, done.text
    assert "2 new runs" in done.out and (project.root / "logs/l.txt").exists()
    assert (project.root / "data/results/sub/good.csv").exists()
    for path in (secret, artifact, closed):
        said = f"not pulled: {path} on {project.env['TARGET_DIR']}: Permission denied. Make it"
        assert f"{said} readable on the server (chmod u+r)" in done.err
    assert "All but 3 paths" in done.err
    refused = project.inv("remote-rm", job, check=False)
    assert refused.code == 2 and "was not pulled yet" in refused.err

    for path in (secret, artifact, closed):
        path.chmod(0o700)
    project.inv("sync-pull")
    assert (project.root / "outputs/closed/x").exists()
    assert len(list(project.root.glob("mlruns/*/*/artifacts/*.txt"))) == 2
    project.inv("remote-rm", job)


def test_what_stands_in_the_way_here_is_kept_in_the_backup(
    project: ProjectFolder, there: Path
) -> None:
    here = project.root
    for name in ("data/results/set/in/a", "outputs/link/a", "data/results/plain", "logs/deep/a"):
        write(there / name, "first")
    project.inv("sync-pull")
    shutil.rmtree(there / "data/results/set")
    write(there / "data/results/set", "a file")
    shutil.rmtree(there / "outputs/link")
    (there / "outputs/link").symlink_to("elsewhere")
    write(there / "outputs/elsewhere/b", "b")
    (there / "data/results/plain").unlink()
    write(there / "data/results/plain/now/a", "a folder")
    shutil.rmtree(here / "logs")
    write(here / "logs", "my own notes")

    done = project.inv("sync-pull")
    assert (here / "data/results/set").read_text() == "a file"
    assert (here / "data/results/plain/now/a").read_text() == "a folder"
    assert os.readlink(here / "outputs/link") == "elsewhere"
    assert (here / "logs/deep/a").read_text() == "first"
    (kept,) = (here / ".remote/backup").glob("pull-*")
    for name in ("data/results/set/in/a", "outputs/link/a", "data/results/plain"):
        assert (kept / name).read_text() == "first", name
    assert (kept / "logs.file").read_text() == "my own notes"
    assert "data/results/set was in the way; it is kept in .remote/backup/pull-" in done.err
    assert "0 files" in project.inv("sync-pull").out


def test_a_file_in_the_place_of_a_folder_of_results_there_is_named(
    project: ProjectFolder, there: Path
) -> None:
    shutil.rmtree(there / "outputs")
    write(there / "outputs", "a file")
    write(there / "data/results/a", "a")
    done = project.inv("sync-pull", check=False)
    assert done.code == NOT_ALL and (project.root / "data/results/a").exists()
    assert "outputs on gpu:" in done.err and "Move it away on the server" in done.err


def test_what_stands_in_the_way_there_goes_into_the_backup_there(
    project: ProjectFolder, there: Path
) -> None:
    raw = project.root / "data/raw"
    write(raw / "set/a", "a")
    write(raw / "plain", "plain")
    write(raw / "linked/a", "a")
    project.inv("sync-push")
    write(there / "data/raw/set/only there", "by a job")
    (there / "data/raw").chmod(0o555)
    (there / "data/raw/set").chmod(0o555)
    shutil.rmtree(raw / "set")
    shutil.rmtree(raw / "linked")
    (raw / "plain").unlink()
    write(raw / "set", "now a file")
    write(raw / "plain/a", "now a folder")
    (raw / "linked").symlink_to("plain")
    project.write("src/new.py", "")

    done = project.inv("sync-push")
    assert "old versions kept on the server in .remote/backup/" in done.out
    assert (there / "data/raw/set").read_text() == "now a file"
    assert (there / "data/raw/plain/a").read_text() == "now a folder"
    assert os.readlink(there / "data/raw/linked") == "plain" and (there / "src/new.py").exists()
    (kept,) = (there / ".remote/backup").iterdir()
    assert (kept / "data/raw/set/only there").read_text() == "by a job"
    assert (kept / "data/raw/linked/a").exists()
    assert not (there / "data/raw").stat().st_mode & 0o222 or (raw.stat().st_mode & 0o222)


def test_what_can_not_be_read_here_is_left_and_no_job_is_started(
    project: ProjectFolder, there: Path
) -> None:
    project.write("src/zero.py", "first")
    project.write("src/gone.py", "")
    project.write("src/closed/a.py", "first")
    project.inv("sync-push")
    (project.root / "src/gone.py").unlink()
    project.write("src/zero.py", "the second").chmod(0)
    project.write("src/new [1].py", "").chmod(0)
    project.write("src/next.py", "")
    (project.root / "src/closed").chmod(0)

    done = project.inv("sync-push", check=False)
    assert done.code == NOT_ALL, done.text
    for name in ("src/zero.py", "src/new [1].py", "src/closed"):
        said = f"not pushed: {name} on this machine: Permission denied. Make it readable"
        assert f"{said} (chmod u+r), or name it in .rsyncignore." in done.err
    assert (there / "src/zero.py").read_text() == "first"
    assert (there / "src/closed/a.py").exists() and (there / "src/next.py").exists()
    assert not (there / "src/gone.py").exists(), "all but what can't be read is as it is here"

    refused = project.inv("remote-run", "--", "true", check=False)
    assert refused.code == 2 and "nothing was started" in refused.err
    assert not list((there / ".remote/jobs").iterdir())
    project.write(".rsyncignore", "zero.py\nnew*\nclosed\n")
    assert "0 deleted" in project.inv("sync-push").out


@pytest.mark.skipif(os.geteuid() != 0, reason="one's own folder can always be made writable")
def test_what_can_not_be_written_there_is_named(project: ProjectFolder, there: Path) -> None:
    project.write("src/locked/a.py", "first")
    project.inv("sync-push")
    (there / "src/locked").chmod(0o555)
    (project.root / "src/locked/b.py").write_text("b")
    os.utime(project.root / "src/locked")
    os.chown(there / "src/locked", 65534, -1)
    project.write("src/other.py", "")
    done = project.inv("sync-push", check=False)
    assert done.code == NOT_ALL, done.text
    assert f"src/locked/b.py on {project.env['TARGET_DIR']}" in done.err
    assert "writable on the server" in done.err and (there / "src/other.py").exists()
