"""rsync's command lines, run by the real rsync between folders, and by ones as a Mac has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.errors import ConfigError
from remote.job.outputs import paths, table
from remote.job.paths import STATE, partial_name, temporary_folder
from remote.target import Target
from remote.transport import rsync as transfer
from remote.transport import rsync_args, rsync_tally
from remote.transport.rsync_args import Remote
from remote.transport.rsync_dialect import Dialect, dialect
from remote.transport.rsync_tally import Tally
from remote.transport.ssh import Ssh

REAL = shutil.which("rsync") or ""
pytestmark = pytest.mark.skipif(not REAL, reason="rsync is not installed")

ODD = [
    "two words.py",
    "new\nline.py",
    "日本語.py",
    "-rf",
    "--delete",
    "it's.py",
    'a"b.py',
    "$(touch pwned).py",
    "a[1]*?.py",
    "back\\slash.py",
    "#hash.py",
    "!",
    "semi;colon&.py",
    "C:drive.py",
    " leading.py",
    "trailing ",
]


#: The id of the copy of the project that pushes.
COPY = "0123456789abcdef" * 2


class Pair:
    """A project, and the folder that plays its target, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.here, self.there = folder / "here", folder / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.remote = Remote(Target("", "", str(self.there)), None, "0" * 16)
        self.known = dialect()

    def push(self, *, stamp: str = "s1", delete: bool = True, dry_run: bool = False) -> Tally:
        argv = rsync_args.push_argv(
            self.here,
            self.remote,
            self.known,
            project="",
            stamp=stamp,
            delete=delete,
            dry_run=dry_run,
            destination=f"{self.there}/",
            partial=rsync_args.unfinished(self.known, COPY, apart=True),
        )
        if not dry_run:
            temporary_folder(self.there, COPY).mkdir(parents=True, exist_ok=True)
        return self.run(argv)

    def pull(self, *, dry_run: bool = False) -> Tally:
        """Of all outputs that are there, one after the other."""
        backup, tally = self.here / STATE / "backup" / "p1", Tally()
        for path in (row.path for row in table() if row.pulled):
            if (self.there / path).is_dir():
                (self.here / path).parent.mkdir(parents=True, exist_ok=True)
                part = {"backup": backup / path, "dry_run": dry_run}
                argv = rsync_args.pull_argv(self.remote, self.known, f"{path}/", **part)
                tally.add(self.run(argv), path)
        return tally

    def run(self, argv: list[str]) -> Tally:
        return transfer.run(argv, self.remote, cwd=self.here, title="test")

    def backup(self, name: str, stamp: str = "s1") -> Path:
        return self.there / STATE / "backup" / stamp / name


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def older(path: Path, seconds: int = 1000) -> Path:
    """Date a file back, as rsync tells files apart by size and time."""
    os.utime(path, (path.stat().st_mtime - seconds,) * 2)
    return path


def names(folder: Path) -> set[str]:
    """All files and links below `folder`, without the toolkit's own folder."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in found if not name.startswith(f"{STATE}/")}


def picture(folder: Path) -> dict[str, Any]:
    """Everything below `folder` with its time and content."""
    found = {}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (path.lstat().st_mtime_ns, path.lstat().st_mode, content)
    return found


# Push


def test_files_arrive_with_mode_and_time(pair: Pair) -> None:
    script = older(write(pair.here / "src/run.sh"))
    script.chmod(0o755)
    tally = pair.push()
    there = pair.there / "src/run.sh"
    assert there.stat().st_mode & 0o777 == 0o755
    assert int(there.stat().st_mtime) == int(script.stat().st_mtime)
    assert tally.sent == ["src/run.sh"] and tally.replaced == [] and tally.bytes > 0


def modes(folder: Path) -> dict[str, int]:
    """Of all below `folder` and itself, without the toolkit's own."""
    paths = [
        path for path in folder.rglob("*") if STATE not in path.parts and not path.is_symlink()
    ]
    return {
        str(path.relative_to(folder)).strip("."): path.stat().st_mode & 0o7777
        for path in (folder, *paths)
    }


def test_what_was_open_to_a_group_here_is_closed_there(pair: Pair, tmp_path: Path) -> None:
    """A laptop's umask is no reason for a server's group to change code. What was, is closed, too."""
    for name, mode in (
        ("src/a.py", 0o664),
        ("run.sh", 0o777),
        ("key", 0o600),
        ("data/processed/p", 0o666),
    ):
        write(pair.here / name).chmod(mode)
    for name in ("", "src", "data", "data/processed"):
        (pair.here / name).chmod(0o2777 if name == "data" else 0o775)
    shutil.copytree(pair.here / "src", pair.there / "src")
    pair.push()
    pair.run(rsync_args.processed_argv(pair.here, pair.remote, pair.known, project=""))
    assert not [name for name, mode in modes(pair.there).items() if mode & 0o022]
    expected = {"src/a.py": 0o644, "run.sh": 0o755, "key": 0o600, "data/processed/p": 0o644}
    assert {name: modes(pair.there)[name] for name in expected} == expected
    # Processed data has changed the time of the folder above it.
    pair.push(stamp="s2")
    assert not pair.push(stamp="s3").anything
    code = tmp_path / "sent"
    code.mkdir()
    remote = Remote(Target("", "", str(code)), None, "k")
    (code / STATE).mkdir()
    subprocess.run(
        rsync_args.incoming_argv(remote, pair.known, name="n"), cwd=pair.here / "src", check=True
    )
    assert (code / STATE / "incoming-n/a.py").stat().st_mode & 0o777 == 0o644


def test_a_second_push_sends_nothing(pair: Pair) -> None:
    for name in ODD:
        write(pair.here / "src" / name)
    pair.push()
    again = pair.push(stamp="s2")
    assert (again.sent, again.replaced, again.deleted) == ([], [], [])
    assert not (pair.there / STATE / "backup").exists()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_arrives_is_changed_and_deleted(pair: Pair, name: str) -> None:
    file = older(write(pair.here / name, "1"))
    write(pair.here / "stays")
    pair.push()
    assert (pair.there / name).read_text() == "1"
    write(file, "22")
    pair.push()
    assert (pair.there / name).read_text() == "22" and pair.backup(name).read_text() == "1"
    file.unlink()
    assert len(pair.push(stamp="s2").deleted) == 1
    assert names(pair.there) == {"stays"}
    assert pair.backup(name, "s2").read_text() == "22"


def test_names_are_told_as_they_are_whatever_the_locale(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    write(pair.here / "日本語.py")
    assert pair.push(dry_run=True).sent == ["日本語.py"]


def test_links_stay_links(pair: Pair) -> None:
    write(pair.here / "src/a.py")
    (pair.here / "link.py").symlink_to("src/a.py")
    (pair.here / "folder").symlink_to("src")
    (pair.here / "dangling").symlink_to("nowhere at all")
    (pair.here / "out").symlink_to("/etc/hostname")
    pair.push()
    links = {name: os.readlink(pair.there / name) for name in ("link.py", "folder", "dangling")}
    assert links == {"link.py": "src/a.py", "folder": "src", "dangling": "nowhere at all"}
    assert os.readlink(pair.there / "out") == "/etc/hostname"


def test_a_link_there_is_replaced_not_followed(pair: Pair, tmp_path: Path) -> None:
    outside = older(write(tmp_path / "outside", "precious"))
    (pair.there / "a.py").symlink_to(outside)
    write(pair.here / "a.py", "new")
    pair.push()
    assert outside.read_text() == "precious"
    assert (pair.there / "a.py").read_text() == "new" and not (pair.there / "a.py").is_symlink()


def test_a_file_becomes_a_folder_and_a_folder_a_file(pair: Pair) -> None:
    write(pair.here / "a", "file")
    write(pair.here / "b/inner", "inner")
    pair.push()
    (pair.here / "a").unlink()
    shutil.rmtree(pair.here / "b")
    write(pair.here / "a/inner", "now a folder")
    write(pair.here / "b", "now a file")
    pair.push()
    assert names(pair.there) == {"a/inner", "b"}
    assert pair.backup("a").read_text() == "file"
    assert pair.backup("b/inner").read_text() == "inner"


def test_what_was_deleted_here_is_deleted_there_and_kept(pair: Pair) -> None:
    write(pair.there / "old/module.py", "old")
    write(pair.here / "new.py")
    tally = pair.push()
    assert names(pair.there) == {"new.py"}
    assert "old/module.py" in tally.deleted
    assert pair.backup("old/module.py").read_text() == "old"


def test_what_is_replaced_is_kept(pair: Pair) -> None:
    older(write(pair.there / "a.py", "theirs"))
    write(pair.here / "a.py", "ours")
    tally = pair.push()
    assert tally.replaced == ["a.py"]
    assert pair.backup("a.py").read_text() == "theirs"


def test_without_delete_nothing_is_deleted(pair: Pair) -> None:
    write(pair.there / "theirs.py")
    write(pair.here / "ours.py")
    assert pair.push(delete=False).deleted == []
    assert names(pair.there) == {"theirs.py", "ours.py"}


def test_a_dry_run_tells_all_and_changes_nothing(pair: Pair) -> None:
    write(pair.there / "gone.py")
    older(write(pair.there / "changed.py", "1"))
    write(pair.here / "changed.py", "22")
    write(pair.here / "new.py")
    before = picture(pair.there)
    tally = pair.push(dry_run=True)
    assert picture(pair.there) == before
    assert sorted(tally.sent) == ["changed.py", "new.py"]
    assert tally.replaced == ["changed.py"] and tally.deleted == ["gone.py"]


def test_the_ignore_file_is_honoured(pair: Pair) -> None:
    lines = [
        "# a comment",
        "*.log",
        "/build/",
        "cache/**/tmp",
        "with space.txt",
        "",
        "日本*",
        "- minus.txt",
    ]
    write(pair.here / ".rsyncignore", "\n".join(lines) + "\n")
    for name in ("a.log", "x/b.log", "build/x", "cache/1/2/tmp", "with space.txt", "日本.txt"):
        write(pair.here / name)
    for name in ("minus.txt", "x/build/y", "a.py", "a comment"):
        write(pair.here / name)
    pair.push()
    assert names(pair.there) == {".rsyncignore", "x/build/y", "a.py", "a comment"}


def test_an_ignore_file_with_plus_lines_is_honoured(pair: Pair) -> None:
    write(pair.here / ".rsyncignore", "+ keep.log\n*.log\n")
    write(pair.here / "keep.log")
    write(pair.here / "drop.log")
    pair.push()
    assert names(pair.there) == {".rsyncignore", "keep.log"}


def test_an_ignore_file_with_windows_line_ends_and_mark_is_honoured(pair: Pair) -> None:
    (pair.here / ".rsyncignore").write_bytes(b"\xef\xbb\xbf*.log\r\n/build/\r\n")
    for name in ("a.log", "build/x", "a.py"):
        write(pair.here / name)
    pair.push()
    assert names(pair.there) == {".rsyncignore", "a.py"}


def test_what_is_ignored_is_not_deleted_there(pair: Pair) -> None:
    write(pair.here / ".rsyncignore", "*.log\n.venv/\n")
    write(pair.there / "run.log", "log")
    write(pair.there / ".venv/bin/python")
    write(pair.there / "gone/inner.log", "log")
    write(pair.there / "gone/inner.py")
    pair.push()
    assert names(pair.there) == {".rsyncignore", "run.log", ".venv/bin/python", "gone/inner.log"}


@pytest.mark.parametrize(
    "content", [b"!\n", b"*.log\n!\n", b"a\r\n!\r\n", b"a\r!\rb", b"!", b"\xef\xbb\xbf!", b"!\0x\n"]
)
def test_a_line_that_clears_the_filters_is_refused(pair: Pair, content: bytes) -> None:
    (pair.here / ".rsyncignore").write_bytes(content)
    write(pair.there / "data/results/r.ipynb")
    with pytest.raises(ConfigError, match="line"):
        pair.push()
    assert names(pair.there) == {"data/results/r.ipynb"}


def test_names_with_exclamation_marks_are_no_clearing(pair: Pair) -> None:
    write(pair.here / ".rsyncignore", "wow!\nx!y\n")
    write(pair.here / "wow!")
    pair.push()
    assert names(pair.there) == {".rsyncignore"}


THEIRS = [
    *(f"{name}/x" for name in paths() if not name.endswith(".db")),
    "mlflow.db",
    "mlflow.db-wal",
    "mlflow.db-shm",
    f"{STATE}/jobs/j1/status.json",
    f"{STATE}/projects/p/x",
    "data/raw/big.bin",
    "data/more/deep/er.bin",
]
SECRET = [
    ".env",
    ".env.local",
    "src/.env",
    ".git/config",
    "sub/.git/HEAD",
    ".netrc",
    ".pypirc",
    ".ssh/config",
    ".aws/credentials",
    "keys/server.pem",
    "putty.ppk",
    "id_rsa",
    "deep/id_ed25519",
    "id_ecdsa_sk",
]
IGNORES = {
    "none": None,
    "empty": "",
    "greedy": "+ .env\n+ .git/\n+ *.pem\n+ /data/results/***\n+ *\n",
    "drops all": "*\n",
}


@pytest.mark.parametrize("ignore", IGNORES)
def test_what_jobs_wrote_is_never_touched(pair: Pair, ignore: str) -> None:
    if IGNORES[ignore] is not None:
        write(pair.here / ".rsyncignore", IGNORES[ignore] or "")
    for name in THEIRS:
        write(pair.there / name, "theirs")
    for name in set(THEIRS) - {"data/raw/big.bin", "data/more/deep/er.bin"}:
        write(pair.here / name, "ours, and longer")
    write(pair.here / "a.py")
    before = {name: picture(pair.there)[str(pair.there / name)] for name in THEIRS}
    pair.push()
    after = picture(pair.there)
    assert {name: after[str(pair.there / name)] for name in THEIRS} == before


@pytest.mark.parametrize("ignore", IGNORES)
def test_secrets_are_never_sent_nor_deleted(pair: Pair, ignore: str) -> None:
    if IGNORES[ignore] is not None:
        write(pair.here / ".rsyncignore", IGNORES[ignore] or "")
    for name in SECRET:
        write(pair.here / name, "ours, and longer")
    pair.push()
    assert not names(pair.there) & set(SECRET)
    for name in SECRET:
        write(pair.there / name, "theirs")
    pair.push()
    assert {(pair.there / name).read_text() for name in SECRET} == {"theirs"}


def test_the_example_of_env_is_sent(pair: Pair) -> None:
    write(pair.here / ".env.example")
    pair.push()
    assert names(pair.there) == {".env.example"}


def test_half_written_files_are_not_sent(pair: Pair) -> None:
    write(pair.here / "src/.tmp-abc")
    write(pair.here / "src/.~tmp~/x")
    write(pair.here / "src" / partial_name("f" * 32) / "x")
    write(pair.here / "src/a.py")
    pair.push()
    assert names(pair.there) == {"src/a.py"}


def test_what_another_copy_has_not_finished_there_stays(pair: Pair) -> None:
    held = f"src/{partial_name('f' * 32)}/x"
    write(pair.there / held)
    write(pair.here / "src/a.py")
    pair.push()
    assert names(pair.there) == {"src/a.py", held}


def test_holes_stay_holes(pair: Pair) -> None:
    with open(pair.here / "sparse", "wb") as file:
        file.truncate(5_000_000)
    pair.push()
    there = (pair.there / "sparse").stat()
    assert there.st_size == 5_000_000 and there.st_blocks * 512 < 100_000


def test_raw_data_is_sent_and_updated_but_never_deleted(pair: Pair) -> None:
    older(write(pair.there / "data/raw/a.csv", "1"))
    write(pair.there / "data/raw/only there.csv")
    write(pair.here / "data/raw/a.csv", "22")
    write(pair.here / "data/raw/b.csv")
    tally = pair.push()
    assert (pair.there / "data/raw/a.csv").read_text() == "22"
    assert names(pair.there) == {"data/raw/a.csv", "data/raw/b.csv", "data/raw/only there.csv"}
    assert tally.deleted == []


def test_a_folder_named_data_deeper_down_is_code(pair: Pair) -> None:
    write(pair.there / "src/data/old.py")
    write(pair.here / "src/data/new.py")
    pair.push()
    assert names(pair.there) == {"src/data/new.py"}


def test_two_pushes_keep_their_own_backups(pair: Pair) -> None:
    file = older(write(pair.here / "a", "1"), 3000)
    pair.push(stamp="s1")
    older(write(file, "22"), 2000)
    pair.push(stamp="s2")
    write(file, "333")
    pair.push(stamp="s3")
    assert pair.backup("a", "s2").read_text() == "1"
    assert pair.backup("a", "s3").read_text() == "22"


# Processed data, results and artifacts


def test_processed_data_fills_up_and_replaces_nothing(pair: Pair) -> None:
    write(pair.here / "data/processed/a", "ours, and longer")
    write(pair.here / "data/processed/sub/b")
    write(pair.here / "data/processed/.env")
    write(pair.here / "data/processed/.tmp-x")
    older(write(pair.there / "data/processed/a", "theirs"))
    write(pair.there / "data/processed/only there")
    tally = pair.run(rsync_args.processed_argv(pair.here, pair.remote, pair.known, project=""))
    assert (pair.there / "data/processed/a").read_text() == "theirs"
    folder = "data/processed"
    assert names(pair.there) == {f"{folder}/a", f"{folder}/sub/b", f"{folder}/only there"}
    assert tally.sent == ["data/processed/sub/b"]


def test_a_dry_run_of_processed_data_changes_nothing(pair: Pair) -> None:
    write(pair.here / "data/processed/a")
    (pair.there / "data/processed").mkdir(parents=True)
    before = picture(pair.there)
    argv = rsync_args.processed_argv(pair.here, pair.remote, pair.known, project="", dry_run=True)
    assert pair.run(argv).sent == ["data/processed/a"]
    assert picture(pair.there) == before


def test_results_come_back_and_nothing_else(pair: Pair) -> None:
    wanted = {
        "data/results/notebooks/r.ipynb",
        "data/results/日本 語/x\ny",
        "data/processed/p.npz",
        "logs/l.txt",
        "outputs/2026/o.yaml",
        "multirun/0/m.yaml",
    }
    for name in wanted:
        write(pair.there / name)
    for name in ("src/a.py", "data/raw/big", "mlflow.db", "mlruns/1/r/x", f"{STATE}/jobs/j/log"):
        write(pair.there / name)
    for name in ("data/results/.tmp-abc", "logs/.~tmp~/x", "src/data/results/no", "README.md"):
        write(pair.there / name)
    tally = pair.pull()
    assert names(pair.here) == wanted and len(tally.sent) == len(wanted)
    assert pair.pull().sent == []


def test_a_pull_never_deletes(pair: Pair) -> None:
    write(pair.here / "data/results/mine")
    write(pair.here / "src/a.py")
    write(pair.there / "data/results/theirs")
    pair.pull()
    assert names(pair.here) == {"data/results/mine", "data/results/theirs", "src/a.py"}


def test_what_a_pull_replaces_is_kept(pair: Pair) -> None:
    write(pair.here / "data/results/r", "newer, here")
    older(write(pair.there / "data/results/r", "there"))
    tally = pair.pull()
    assert (pair.here / "data/results/r").read_text() == "there"
    assert tally.replaced == ["data/results/r"]
    kept = pair.here / STATE / "backup/p1/data/results/r"
    assert kept.read_text() == "newer, here"


def test_a_read_only_result_here_is_no_obstacle(pair: Pair) -> None:
    older(write(pair.here / "data/results/r", "1")).chmod(0o444)
    write(pair.there / "data/results/r", "22").chmod(0o444)
    pair.pull()
    assert (pair.here / "data/results/r").read_text() == "22"


def test_a_dry_pull_changes_nothing(pair: Pair) -> None:
    write(pair.here / "data/results/r", "newer, here")
    older(write(pair.there / "data/results/r", "there"))
    before = picture(pair.here)
    assert pair.pull(dry_run=True).replaced == ["data/results/r"]
    assert picture(pair.here) == before


def test_links_that_lead_out_are_left_out(pair: Pair, tmp_path: Path) -> None:
    write(pair.there / "data/results/r")
    results = pair.there / "data/results"
    (results / "inside").symlink_to("r")
    (results / "absolute").symlink_to(tmp_path)
    (results / "upwards").symlink_to("../../../../outside")
    (results / "code.py").symlink_to("../../src/code.py")
    write(pair.there / "logs/l").parent.joinpath("study.db").symlink_to("../mlflow.db")
    pair.pull()
    assert names(pair.here) == {"data/results/r", "data/results/inside", "logs/l"}


def test_a_hostile_server_can_not_write_through_a_link(pair: Pair, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (pair.there / "data/results").mkdir(parents=True)
    (pair.there / "data/results/d").symlink_to(outside)
    pair.pull()
    (pair.there / "data/results/d").unlink()
    write(pair.there / "data/results/d/planted")
    pair.pull()
    assert list(outside.iterdir()) == []
    assert (pair.here / "data/results/d/planted").is_file()


def test_empty_folders_do_not_come(pair: Pair) -> None:
    (pair.there / "multirun/0").mkdir(parents=True)
    pair.pull()
    assert names(pair.here) == set() and not (pair.here / "multirun/0").exists()


def test_modes_and_times_of_folders_here_are_not_the_servers(pair: Pair) -> None:
    tool = write(pair.there / "data/results/tool")
    tool.chmod(0o4755)
    for name in ("", "data", "data/results"):
        (pair.here / name).mkdir(exist_ok=True)
        (pair.here / name).chmod(0o700)
        (pair.there / name).chmod(0o777)
    before = (pair.here / "data/results").stat()
    pair.pull()
    assert (pair.here / "data/results/tool").stat().st_mode & 0o7777 == 0o755
    assert {(pair.here / name).stat().st_mode & 0o777 for name in ("", "data/results")} == {0o700}
    assert pair.pull().sent == []
    os.utime(pair.here / "data/results", ns=(before.st_atime_ns, before.st_mtime_ns))
    pair.pull()
    assert (pair.here / "data/results").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("name", ["a", "it's a $(touch pwned)", "結果"])
def test_an_output_that_is_a_file_comes_as_one(pair: Pair, tmp_path: Path, name: str) -> None:
    """Also where the server has put it elsewhere, and left a link."""
    backup = {"backup": tmp_path / "backup"}
    (pair.there / name).symlink_to(write(tmp_path / "elsewhere", "model"))
    argv = rsync_args.pull_argv(pair.remote, pair.known, name, **backup)
    assert pair.run(argv).sent == [name]
    assert (pair.here / name).read_text() == "model" and not (pair.here / name).is_symlink()


def artifacts(pair: Pair, tmp_path: Path, *folders: str) -> Tally:
    wanted = tmp_path / "wanted"
    listed = rsync_args.listed(wanted, pair.known)
    content = rsync_args.artifact_list if listed else rsync_args.artifact_filters
    write(wanted, content(folders))
    argv = rsync_args.artifacts_argv(
        pair.remote,
        pair.known,
        source="mlruns/1",
        destination="mlruns/7",
        wanted=listed or rsync_args.filtered(wanted),
        backup=pair.here / ".remote/backup",
    )
    return pair.run(argv)


def test_artifacts_come_for_the_named_runs_alone(pair: Pair, tmp_path: Path) -> None:
    for run in ("a" * 32, "b" * 32, "c" * 32):
        write(pair.there / f"mlruns/1/{run}/artifacts/model/weights 1.bin", run)
        write(pair.there / f"mlruns/1/{run}/meta.yaml")
    write(pair.there / "mlruns/1/meta.yaml")
    (pair.here / "mlruns/7").mkdir(parents=True)
    tally = artifacts(pair, tmp_path, f"{'a' * 32}/artifacts", f"{'b' * 32}/artifacts")
    assert names(pair.here) == {
        f"mlruns/7/{run}/artifacts/model/weights 1.bin" for run in ("a" * 32, "b" * 32)
    }
    assert len(tally.sent) == 2
    assert artifacts(pair, tmp_path, f"{'a' * 32}/artifacts").sent == []


def test_artifact_links_that_lead_out_are_left_out(pair: Pair, tmp_path: Path) -> None:
    write(pair.there / "mlruns/1/r/artifacts/x")
    (pair.there / "mlruns/1/r/artifacts/key").symlink_to("/etc/hostname")
    (pair.here / "mlruns/7").mkdir(parents=True)
    artifacts(pair, tmp_path, "r/artifacts")
    assert names(pair.here) == {"mlruns/7/r/artifacts/x"}


def test_runs_without_artifacts_are_passed_over_whatever_others_are_called(
    pair: Pair, tmp_path: Path
) -> None:
    odd = ["#r/artifacts", "-r/artifacts", "r[1]/artifacts", "a b/artifacts", ";r"]
    for folder in (*odd, "other/artifacts"):
        write(pair.there / f"mlruns/1/{folder}/x")
    (pair.here / "mlruns/7").mkdir(parents=True)
    tally = artifacts(pair, tmp_path, *odd, "missing/artifacts", "also missing")
    assert names(pair.here) == {f"mlruns/7/{folder}/x" for folder in odd}
    assert tally.problems == [] and len(tally.sent) == len(odd)


def test_all_artifacts_of_a_folder_are_named_by_stars(pair: Pair, tmp_path: Path) -> None:
    for name in ("x", "r/artifacts/y", ".hidden/z"):
        write(pair.there / "mlruns/1" / name)
    (pair.here / "mlruns/7").mkdir(parents=True)
    artifacts(pair, tmp_path, "**")
    assert names(pair.here) == {f"mlruns/7/{name}" for name in ("x", "r/artifacts/y", ".hidden/z")}


def test_what_is_listed_is_no_filter() -> None:
    """A Mac's rsync fails over what is missing, so it gets filters."""
    assert rsync_args.listed(Path("w"), Dialect(frozenset(["--files-from", "--from0"]))) == []
    known = Dialect(frozenset(["--ignore-missing-args"]))
    assert "--files-from=w" in rsync_args.listed(Path("w"), known)


def test_artifact_filters_name_every_folder_above() -> None:
    assert rsync_args.artifact_filters(["r1/artifacts", "r2/artifacts"]).splitlines() == [
        "+ /r1/",
        "+ /r1/artifacts/",
        "+ /r1/artifacts/**",
        "+ /r2/",
        "+ /r2/artifacts/",
        "+ /r2/artifacts/**",
    ]


# The way over ssh


def far(text: str, *, noisy: bool = False) -> Remote:
    target = Target.parse(text)
    return Remote(target, Ssh(target.login), target.key, noisy)


HOSTILE = "me@host:/a b/$(touch x)'\";"


def test_no_letter_of_the_path_reaches_a_command() -> None:
    argv = rsync_args.push_argv(
        Path("/nowhere"),
        far(HOSTILE),
        Dialect(frozenset()),
        project="p" * 32,
        stamp="s",
        delete=True,
    )
    assert argv[-1] == "me@host:./"
    assert not any("touch" in part for part in argv)


def test_the_remote_command_goes_into_the_targets_link_first() -> None:
    remote = far(HOSTILE)
    link = f".cache/remote-gpu-workflow/targets/{remote.key}"
    assert f"--rsync-path=cd && cd {link} && rsync" in remote.arguments()
    folders = (".remote/projects/p1", ".remote/partial/p1", "data")
    tests = [f"test -d {link}/{folder}" for folder in folders]
    claimed = " && ".join(["cd", *tests, f"cd {link}", "rsync"])
    assert f"--rsync-path={claimed}" in remote.arguments(project="p1")


def test_a_noisy_shell_is_told_apart_by_a_mark() -> None:
    remote = far(HOSTILE, noisy=True)
    (path,) = [part for part in remote.arguments() if part.startswith("--rsync-path=")]
    assert path.startswith(f"--rsync-path=echo {rsync_args.MARK} && ")
    rsh = remote.arguments()[1]
    assert rsh.startswith(sys.executable) and "skip_banner.py" in rsh


@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
def test_a_noisy_shell_is_understood_from_a_project_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "my project's" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$2" > {tmp_path}/seen\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    remote = far("gpu:proj", noisy=True)
    argv = ["rsync", *remote.arguments(), remote.place("x"), "./y"]
    subprocess.run(argv, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "seen").read_text() == "ssh\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [("host:/d", "host:./x/"), ("u@host:/d", "u@host:./x/"), ("u@[::1]:/d", "u@[::1]:./x/")],
)
def test_the_place_is_written_for_rsync(text: str, place: str) -> None:
    assert far(text).place("x/") == place


def test_a_local_target_is_a_plain_path(tmp_path: Path) -> None:
    remote = Remote(Target("", "", f"{tmp_path}/a b"), None, "k")
    assert remote.place("x/") == f"{tmp_path}/a b/x/" and remote.arguments() == []


def test_a_local_target_with_a_colon_is_no_host(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write(tmp_path / "there:x/data/results/r")
    remote = Remote(Target("", "", f"{tmp_path}/there:x"), None, "k")
    (tmp_path / "here/data").mkdir()
    backup = tmp_path / "b"
    argv = rsync_args.pull_argv(remote, dialect(), "data/results/", backup=backup)
    subprocess.run(argv, cwd=tmp_path / "here", check=True, capture_output=True)
    assert names(tmp_path / "here") == {"data/results/r"}


# Dialects: what a Mac's rsync has. openrsync's options are those of its manual, as Apple ships it;
# 2.6.9's those of its --help.

COMMON = """append archive backup backup-dir block-size bwlimit checksum checksum-seed chmod
    compare-dest compress compress-level copy-dest copy-dirlinks copy-links copy-unsafe-links
    cvs-exclude del delay-updates delete delete-after delete-before delete-during delete-excluded
    devices dirs dry-run exclude exclude-from executability existing files-from filter force from0
    fuzzy group hard-links help human-readable ignore-errors ignore-existing ignore-times include
    include-from inplace ipv4 ipv6 itemize-changes keep-dirlinks link-dest links list-only
    max-delete max-size min-size modify-window no-implied-dirs no-motd numeric-ids omit-dir-times
    one-file-system only-write-batch out-format owner partial partial-dir password-file perms port
    progress protocol prune-empty-dirs quiet read-batch recursive relative remove-source-files rsh
    rsync-path safe-links size-only sockopts sparse specials stats suffix super temp-dir timeout
    times update verbose version whole-file write-batch 8-bit-output address""".split()
SPECIAL = {
    "openrsync": ["cache", "contimeout", "delete-delay", "ignore-non-existing"],
    "2.6.9": ["blocking-io", "extended-attributes", "log-file", "log-file-format"],
}
SHORT = {
    "openrsync": "0468BCDEFHIKLOPRSTVWabcdefghiklmnopqrtuvxyz",
    "2.6.9": "046BCDEFHIKLOPRSTWabcdefghiklmnopqrtuvxyz",
}
TALKS = {
    # openrsync tells deletions on standard error, and counts bytes in other words.
    "openrsync": {"*deleting": "stderr", "Total bytes": "Total"},
    "2.6.9": {},
}
FAKE = """#!{python}
import subprocess, sys
LONG, SHORT, TALK = {long!r}, {short!r}, {talk!r}
if sys.argv[1:] == ["--help"]:
    print("usage: rsync [-" + SHORT + "]", *("[--" + name + "]" for name in LONG))
    sys.exit(0)
words = iter(sys.argv[1:])
for word in words:
    if word.startswith("--"):
        bad = word[2:].split("=")[0] not in LONG
    else:
        bad = word.startswith("-") and not set(word[1:]) <= set(SHORT)
        if word == "-e":
            next(words)
    if bad:
        sys.exit("rsync: unrecognized option `" + word + "'")
done = subprocess.run([{real!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
for line in done.stdout.splitlines(keepends=True):
    out = sys.stderr if line.startswith(b"*deleting") and "*deleting" in TALK else sys.stdout
    for old, new in TALK.items():
        if line.startswith(old.encode()) and out is sys.stdout:
            line = line.replace(old.encode(), new.encode(), 1)
    out.buffer.write(line)
sys.exit(done.returncode)
"""


def options_of(version: str) -> list[str]:
    return sorted(COMMON + SPECIAL[version])


@pytest.fixture(params=["openrsync", "2.6.9"])
def mac(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A pair on a machine whose rsync refuses every option that the Mac's lacks."""
    fake = tmp_path / "bin" / "rsync"
    text = FAKE.format(
        python=sys.executable,
        long=options_of(request.param),
        short=SHORT[request.param],
        talk=TALKS[request.param],
        real=REAL,
    )
    write(fake, text).chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    return Pair(tmp_path)


def test_the_fake_refuses_what_a_mac_lacks(mac: Pair) -> None:
    for option in ("--info=progress2", "--mkpath", "--protect-args", "-s", "--zc=zstd"):
        done = subprocess.run(["rsync", option, "a", "b"], capture_output=True, text=True)
        assert done.returncode and "unrecognized" in done.stderr, option


def test_a_mac_pushes(mac: Pair) -> None:
    write(mac.here / "src/a.py")
    write(mac.here / ".rsyncignore", "*.log\n")
    write(mac.here / "x.log")
    write(mac.there / "old.py", "old")
    write(mac.there / "data/raw/big")
    tally = mac.push()
    assert names(mac.there) == {"src/a.py", ".rsyncignore", "data/raw/big"}
    assert mac.backup("old.py").read_text() == "old"
    assert sorted(tally.sent) == [".rsyncignore", "src/a.py"]


def test_a_mac_whose_umask_is_002_lets_no_group_write_there(mac: Pair) -> None:
    write(mac.here / "src/a.py").chmod(0o664)
    (mac.here / "src").chmod(0o775)
    mac.push()
    assert modes(mac.there) == {"": 0o755, "src": 0o755, "src/a.py": 0o644}


def test_a_mac_is_told_what_its_push_deleted(mac: Pair) -> None:
    write(mac.there / "old.py")
    assert mac.push(dry_run=True).deleted == ["old.py"]
    assert mac.push().deleted == ["old.py"]


def test_a_mac_is_told_how_many_bytes_went(mac: Pair) -> None:
    write(mac.here / "a.py", "x" * 5000)
    assert mac.push().bytes > 5000


def test_a_mac_sends_processed_data(mac: Pair) -> None:
    write(mac.here / "data/processed/a")
    (mac.there / "data/processed").mkdir(parents=True)
    mac.run(rsync_args.processed_argv(mac.here, mac.remote, mac.known, project=""))
    assert names(mac.there) == {"data/processed/a"}


def test_a_mac_pulls(mac: Pair) -> None:
    write(mac.there / "data/results/r", "22")
    write(mac.there / "src/a.py")
    older(write(mac.here / "data/results/r", "1"))
    tally = mac.pull()
    assert (mac.here / "data/results/r").read_text() == "22"
    assert tally.replaced == ["data/results/r"] and tally.sent == ["data/results/r"]


def test_a_mac_pulls_artifacts(mac: Pair, tmp_path: Path) -> None:
    write(mac.there / "mlruns/1/r/artifacts/x")
    write(mac.there / "mlruns/1/s/artifacts/x")
    (mac.here / "mlruns/7").mkdir(parents=True)
    artifacts(mac, tmp_path, "r/artifacts")
    assert names(mac.here) == {"mlruns/7/r/artifacts/x"}


def test_no_transfer_asks_more_of_a_mac_over_ssh(mac: Pair) -> None:
    """The same as above, with the options for the other end: nothing is run, they are looked at."""
    remote, known = far("me@host:/d"), mac.known
    push = {"project": "p", "stamp": "s", "delete": True}
    for argv in (
        rsync_args.push_argv(mac.here, remote, known, **push),  # type: ignore[arg-type]
        rsync_args.processed_argv(mac.here, remote, known, project="p"),
        rsync_args.pull_argv(remote, known, "a/", backup=Path("b")),
        rsync_args.pull_argv(remote, known, "a b", backup=Path("b")),
        rsync_args.artifacts_argv(
            remote,
            known,
            source="a",
            destination="b",
            wanted=rsync_args.listed(Path("w"), known) or rsync_args.filtered(Path("w")),
            backup=Path("k"),
        ),
    ):
        used = {part.split("=")[0] for part in argv if part.startswith("--")}
        assert used <= known.options


def test_a_look_by_the_old_protocol_says_what_one_by_the_newest_does(pair: Pair) -> None:
    for name in ("same", "d/changed", "d/mode", "d/time"):
        shutil.copy2(older(write(pair.here / name)), write(pair.there / name))
    write(pair.here / "d/changed", "longer")
    (pair.here / "d/mode").chmod(0o600)
    os.utime(pair.here / "d/time", (5_000_000_000, 5_000_000_000))
    write(pair.here / "new")
    (pair.here / "link").symlink_to("new")
    write(pair.there / "gone/g")
    argv = rsync_args.push_argv(
        pair.here,
        pair.remote,
        pair.known,
        project="",
        stamp="s",
        delete=True,
        dry_run=True,
        destination=f"{pair.there}/",
    )
    old = pair.run(argv)
    newest = pair.run([word for word in argv if not word.startswith("--protocol")])
    assert (set(old.sent), set(old.replaced)) == (set(newest.sent), set(newest.replaced))
    assert sorted(old.deleted) == sorted(newest.deleted) != []
    assert {"d/changed", "d/time", "new"} <= set(old.sent) and old.files == newest.files


def test_where_nothing_is_there_nothing_waits_for_the_end(pair: Pair) -> None:
    """Renaming each file twice takes longer than sending it."""
    write(pair.here / "src/a.py")
    argv = rsync_args.push_argv(
        pair.here,
        pair.remote,
        pair.known,
        project="",
        stamp="s1",
        delete=True,
        fresh=True,
        destination=f"{pair.there}/",
        partial=rsync_args.unfinished(pair.known, COPY, apart=True),
    )
    assert not {"--delay-updates", "--delete", "--backup"} & set(argv)
    temporary_folder(pair.there, COPY).mkdir(parents=True)
    assert pair.run(argv).sent == ["src/a.py"]
    assert names(pair.there) == {"src/a.py"}


def test_deletions_wait_for_the_end_on_every_rsync() -> None:
    """Else a push that is cut off has deleted modules and not sent their successors."""
    for version in ("openrsync", "2.6.9"):
        known = Dialect(frozenset(f"--{name}" for name in options_of(version)))
        argv = rsync_args.push_argv(
            Path("/x"), far("h:/d"), known, project="p", stamp="s", delete=True
        )
        assert {"--delete-delay", "--delete-after"} & set(argv), version


# Counting


@pytest.mark.parametrize(
    ("line", "sent", "replaced", "deleted", "count"),
    [
        ("<f+++++++++ src/a.py", ["src/a.py"], [], [], 0),
        (">f+++++++++ a b.py", ["a b.py"], [], [], 0),
        ("<f+++++++ old rsync.py", ["old rsync.py"], [], [], 0),
        ("<f.st...... a.py", ["a.py"], ["a.py"], [], 0),
        (">f..t.... a.py", ["a.py"], ["a.py"], [], 0),
        ("<fcstpoguax a.py", ["a.py"], ["a.py"], [], 0),
        ("cL+++++++++ l -> a", ["l -> a"], [], [], 0),
        ("cd+++++++++ src/", [], [], [], 0),
        (".d..t...... src/", [], [], [], 0),
        (".f...p..... a.py", [], [], [], 0),
        ("*deleting   old.py", [], [], ["old.py"], 0),
        ("*deleting old 2.py", [], [], ["old 2.py"], 0),
        ("*deleting   日本/", [], [], ["日本/"], 0),
        ("Total bytes sent: 1,234,567,890", [], [], [], 1234567890),
        ("Total bytes received: 1.234", [], [], [], 1234),
        ("Total bytes sent: 17", [], [], [], 17),
        ("Total sent: 17", [], [], [], 17),
        ("Total received: 1234567", [], [], [], 1234567),
        ("Total file size: 99 bytes", [], [], [], 0),
        ("sent 1,234 bytes  received 35 bytes  2,538.00 bytes/sec", [], [], [], 0),
        ("cannot delete non-empty directory: x", [], [], [], 0),
        ("", [], [], [], 0),
    ],
)
def test_a_line_of_rsync_is_counted(
    line: str, sent: list[str], replaced: list[str], deleted: list[str], count: int
) -> None:
    tally = Tally()
    tally.read(line)
    assert (tally.sent, tally.replaced, tally.deleted, tally.bytes) == (
        sent,
        replaced,
        deleted,
        count,
    )


def test_a_name_that_looks_like_a_line_of_rsync_is_a_name(pair: Pair) -> None:
    for name in ("*deleting x", "Total bytes sent: 5", ">f+++++++++ y", "99% 1MB/s"):
        write(pair.here / name)
    tally = pair.push()
    assert len(tally.sent) == 4 and tally.deleted == [] and tally.bytes > 100


def test_both_directions_count(pair: Pair) -> None:
    (pair.here / "big.bin").write_bytes(os.urandom(2_000_000))
    tally = pair.push()
    assert 2_000_000 < tally.bytes < 2_100_000


@pytest.mark.parametrize(
    "lines",
    [
        ["Number of files: 1,234 (reg: 1,000, dir: 234)", "Number of created files: 5"],
        ["Number of files: 1.234", "Number of regular files transferred: 7"],
        ["Number of files: 1234", "Number of files transferred: 7"],
    ],
)
def test_the_files_that_were_compared_are_counted(lines: list[str]) -> None:
    """The last is how 2.6.9 and openrsync say it."""
    tally = Tally()
    for line in lines:
        tally.read(line)
    assert tally.files == 1234


def test_a_change_of_a_mode_or_a_time_is_something(pair: Pair) -> None:
    write(pair.here / "src/a.py")
    assert pair.push().anything
    assert not pair.push().anything
    (pair.here / "src/a.py").chmod(0o755)
    tally = pair.push()
    assert tally.anything and tally.sent == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["rsync: a: b", "rsync error: x (code 23) at main.c(1)"], "rsync: a: b"),
        (["rsync error: only (code 1)"], "rsync error: only (code 1)"),
        (["  ", "said  ", ""], "said"),
        ([], "no message"),
    ],
)
def test_the_last_words_are_those_before_the_code(lines: list[str], expected: str) -> None:
    assert rsync_tally.complaint(lines) == expected
