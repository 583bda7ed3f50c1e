"""Pushing to a real server: what arrives, what is deleted, and what must never be touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import ProjectFolder, make_project

HOSTILE = ["with space.py", "quote'\".py", "$(touch pwned).py", "-dash.py", "日本.py", "a;b&c.py"]


def files(folder: Path) -> set[str]:
    """The files below `folder`, without the toolkit's own."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != ".remote"}


def test_files_arrive_and_ignored_ones_do_not(project: ProjectFolder, target_root: Path) -> None:
    project.write("src/model.py", "x = 1\n")
    project.write(".venv/bin/thing", "")
    project.write(".env", "TOKEN=secret\n")
    project.write(".git/config", "")
    project.write("id_ed25519", "key")
    done = project.inv("sync-push")
    assert (target_root / "src/model.py").read_text() == "x = 1\n"
    for name in (".venv", ".env", ".git", "id_ed25519"):
        assert not (target_root / name).exists(), name
    assert "pushed to" in done.out and "0 deleted" in done.out


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_names_arrive_as_they_are(project: ProjectFolder, target_root: Path, name: str) -> None:
    project.write(f"src/{name}", name)
    project.inv("sync-push")
    assert (target_root / "src" / name).read_text() == name
    assert not (target_root / "pwned").exists()


def test_what_was_deleted_here_is_deleted_there_and_kept(
    project: ProjectFolder, target_root: Path
) -> None:
    gone = project.write("src/old.py", "old")
    project.inv("sync-push")
    gone.unlink()
    done = project.inv("sync-push")
    assert not (target_root / "src/old.py").exists()
    assert "1 deleted (old versions kept on the server in .remote/backup/" in done.out
    kept = list((target_root / ".remote/backup").rglob("old.py"))
    assert [path.read_text() for path in kept] == ["old"]


def test_what_jobs_wrote_is_never_touched(project: ProjectFolder, target_root: Path) -> None:
    project.inv("sync-push")
    written = ["data/results/notebooks/a.ipynb", "data/processed/p.csv", "outputs/o", "logs/l"]
    written += ["multirun/m", "mlruns/1/r/artifacts/x", "mlflow.db", "data/raw/downloaded.bin"]
    for name in written:
        path = target_root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("by a job")
    project.write("data/processed/p.csv", "by the laptop")
    project.write("mlflow.db", "the laptop's own")
    project.write("outputs/o", "the laptop's own")
    project.write("src/new.py", "")
    project.inv("sync-push")
    project.inv("sync-push", "--delete")
    for name in written:
        assert (target_root / name).read_text() == "by a job", name


def test_processed_data_goes_where_there_is_none(project: ProjectFolder, target_root: Path) -> None:
    project.write("data/processed/sub/features.csv", "1,2")
    done = project.inv("sync-push")
    assert (target_root / "data/processed/sub/features.csv").read_text() == "1,2"
    assert "pushed" in done.out


def test_a_dry_run_shows_and_changes_nothing(project: ProjectFolder, target_root: Path) -> None:
    project.write("src/a.py", "")
    done = project.inv("sync-push", "--dry-run")
    assert "send    src/a.py" in done.out
    assert not target_root.exists()
    project.inv("sync-push")
    (project.root / "src/a.py").unlink()
    project.write("src/b.py", "")
    before = files(target_root)
    done = project.inv("sync-push", "--dry-run")
    assert "delete  src/a.py" in done.out and "send    src/b.py" in done.out
    assert files(target_root) == before


def test_a_foreign_folder_is_not_deleted_from(project: ProjectFolder, target_root: Path) -> None:
    target_root.mkdir()
    (target_root / "theirs.txt").write_text("precious")
    (target_root / "tasks.py").write_text("precious too")
    done = project.inv("sync-push")
    assert (target_root / "theirs.txt").read_text() == "precious"
    assert "Nothing was deleted" in done.err and "--delete" in done.err
    assert any(
        path.read_text() == "precious too"
        for path in (target_root / ".remote/backup").rglob("tasks.py")
    )
    project.inv("sync-push")
    assert (target_root / "theirs.txt").exists()
    project.inv("sync-push", "--delete")
    assert not (target_root / "theirs.txt").exists()


def test_a_target_that_was_replaced_behind_our_back_is_foreign_again(
    project: ProjectFolder, target_root: Path
) -> None:
    project.inv("sync-push")
    shutil.rmtree(target_root)
    target_root.mkdir()
    (target_root / "theirs.txt").write_text("precious")
    done = project.inv("sync-push")
    assert (target_root / "theirs.txt").exists()
    assert "Nothing was deleted" in done.err


def test_a_target_that_vanished_is_made_again(project: ProjectFolder, target_root: Path) -> None:
    project.inv("sync-push")
    shutil.rmtree(target_root)
    project.inv("sync-push")
    assert (target_root / "tasks.py").exists()


@pytest.mark.parametrize(
    "path",
    ["a b", "it's", 'say "hi"', "$(touch pwned)", "日本", "a;b", "~/home", "-x", "a*b", "a\\b"],
)
def test_paths_on_the_server(project: ProjectFolder, sshd, path: str) -> None:
    folder = f"paths-{project.env['TARGET_DIR'].partition(':')[2]}"
    project.inv("sync-push", TARGET_DIR=f"gpu:{folder}/{path}" if path[0] != "~" else f"gpu:{path}")
    plain = path[2:] if path[0] == "~" else f"{folder}/{path}"
    assert (sshd.home / plain / "tasks.py").exists()
    assert not (sshd.home / "pwned").exists()


def test_absolute_paths_users_and_ipv6(project: ProjectFolder, sshd, tmp_path: Path) -> None:
    user = os.environ.get("USER") or __import__("getpass").getuser()
    project.inv("sync-push", TARGET_DIR=f"{user}@gpu:{tmp_path}/by user")
    assert (tmp_path / "by user" / "tasks.py").exists()
    project.inv("sync-push", TARGET_DIR=f"gpu6:{tmp_path}/by-v6")
    assert (tmp_path / "by-v6" / "tasks.py").exists()
    with open(sshd.config, "a") as config:
        config.write(
            f'Host ::1\n  Port {sshd.port}\n  IdentityFile "{sshd.folder}/client_key"\n'
            f'  UserKnownHostsFile "{sshd.folder}/known_hosts"\n  BatchMode yes\n'
        )
    project.inv("sync-push", TARGET_DIR=f"{user}@[::1]:{tmp_path}/bracketed")
    assert (tmp_path / "bracketed" / "tasks.py").exists()


def test_a_plain_directory_needs_no_ssh(tmp_path: Path) -> None:
    project = make_project(tmp_path / "here", TARGET_DIR=str(tmp_path / "there's one"))
    project.write("src/a.py", "1")
    project.inv("sync-push")
    assert (tmp_path / "there's one/src/a.py").read_text() == "1"
    (project.root / "src/a.py").unlink()
    project.inv("sync-push")
    assert not (tmp_path / "there's one/src/a.py").exists()


def test_the_target_comes_from_make_then_the_environment_then_dotenv(
    project: ProjectFolder, sshd
) -> None:
    base = project.env.pop("TARGET_DIR")
    project.write(".env", f"TARGET_DIR={base}-dotenv\n")
    assert "-dotenv:" in project.inv("sync-push").out
    assert "-environment:" in project.inv("sync-push", TARGET_DIR=f"{base}-environment").out
    done = project.make("sync-push", f"TARGET_DIR={base}-make", TARGET_DIR=f"{base}-environment")
    assert "-make:" in done.out


def test_pushing_nothing_needs_one_connection_and_no_agent(project: ProjectFolder, sshd) -> None:
    project.inv("sync-push")
    log = sshd.folder / "sshd.log"
    before = log.read_text().count("Starting session")
    done = project.inv("sync-push")
    assert ": 0 files" in done.out
    assert log.read_text().count("Starting session") == before + 1


def test_the_last_target_is_meant_where_none_is_named(
    project: ProjectFolder, target_root: Path, tmp_path: Path
) -> None:
    """`make sync-push TARGET_DIR=…`, then the rest of the day without it."""
    named = project.env.pop("TARGET_DIR")
    fresh = project.inv("remote-ps", check=False)
    assert fresh.code and "TARGET_DIR is not set" in fresh.err
    project.inv("sync-push", "--dry-run", "--target", named)
    assert project.inv("remote-ps", check=False).code, "a look does not count"
    project.make("sync-push", f"TARGET_DIR={named}")
    assert str(target_root.name) in project.inv("sync-push").out
    other = tmp_path / "other"
    assert str(other) in project.inv("sync-push", TARGET_DIR=str(other)).out
    assert str(other) in project.inv("sync-pull").out


def test_an_edit_in_the_same_second_arrives(project: ProjectFolder, target_root: Path) -> None:
    """rsync compares size and whole seconds: a script may be faster than that."""
    for text in ("1", "2", "3"):
        project.write("src/a.py", f"epoch = {text}")
        project.inv("sync-push")
        assert (target_root / "src/a.py").read_text() == f"epoch = {text}"
