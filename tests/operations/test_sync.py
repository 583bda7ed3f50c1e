"""Push and pull with a target on this machine: rsync and the agent are the real ones."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.errors import ConfigError, TransferError
from remote.files import write_json
from remote.job.messages.target import SPARE
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FINISHED, JobStatus, Unpulled
from remote.operations.sync import Pushed, line, pull, push
from remote.operations.transfers import push_transfer
from remote.session import TargetSession
from remote.target import Target
from remote.transport.rsync_problems import IN_THE_WAY
from remote.transport.rsync_tally import Tally
from tests.machine import rsync_that_heeds_modes
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store


def write(path: Path, text: str) -> None:
    """A file of long ago, so that no push waits until its second is over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    """A project with one program, and a target whose folder is not there yet."""
    root = tmp_path / "it's a project"
    write(root / "src/train.py", "first")
    return TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "a 100% 目標")))


@pytest.fixture
def here(server: TargetSession) -> Path:
    return server.project.root


@pytest.fixture
def there(server: TargetSession) -> Path:
    return Path(server.target.path)


def again(server: TargetSession) -> TargetSession:
    """The same target, as the next command sees it."""
    return TargetSession.of(server.project, server.target)


def rsyncs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The argv of each rsync from now on."""
    run, runs = TargetSession.rsync, list[list[str]]()

    def count(session: TargetSession, argv: list[str], *words: Any, **named: Any) -> Tally:
        runs.append(argv)
        return run(session, argv, *words, **named)

    monkeypatch.setattr(TargetSession, "rsync", count)
    return runs


def test_a_first_push_makes_the_target_and_is_remembered(
    server: TargetSession, there: Path
) -> None:
    pushed = push(server)
    assert pushed.files.sent == ["src/train.py"] and pushed.files.bytes > 0
    assert (pushed.backup, pushed.foreign) == ("", False)
    assert (there / "src/train.py").read_text() == "first"
    assert server.project.target() == server.target
    assert again(server).facts.ours


def test_only_where_nothing_was_is_a_target_fresh(
    server: TargetSession, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other pushes change nothing before their end."""
    runs = rsyncs(monkeypatch)
    there.mkdir()
    push(server)
    assert "--delay-updates" not in runs[0]
    other = Project(server.project.root.with_name("clone"), {})
    write(other.root / "src/train.py", "second")
    for session in (again(server), TargetSession.of(other, server.target)):
        for take_over in (False, True):
            write(session.project.root / f"src/{take_over}.py", "new")
            runs.clear()
            push(session, take_over=take_over)
            assert "--delay-updates" in runs[0]


#: Names that rsync writes otherwise, or that are no text.
ODD = [os.fsdecode(name) for name in (b"line\nbreak", b"\x83\x5c", b"a \\#012", b"\xe2\x80\xa8.")]


@pytest.mark.parametrize("name", ODD)
def test_an_edit_of_a_file_of_any_name_in_the_same_second_arrives(
    server: TargetSession, here: Path, there: Path, name: str
) -> None:
    for text in ("1", "2", "3"):
        (here / name).write_text(text)
        assert name in push(server).files.sent
        assert (there / name).read_text() == text


@pytest.mark.parametrize("name", ODD)
def test_a_link_of_any_name_that_becomes_a_folder_is_one_there(
    server: TargetSession, here: Path, there: Path, name: str
) -> None:
    (here / name).symlink_to("src")
    push(server)
    (here / name).unlink()
    write(here / name / "new.py", "new")
    push(again(server))
    assert not (there / name).is_symlink() and not (there / "src/new.py").exists()
    assert (there / name / "new.py").read_text() == "new"


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_any_name_that_stands_in_the_way_is_kept_and_replaced(
    server: TargetSession, here: Path, there: Path, name: str
) -> None:
    push(server)
    write(there / "data/results" / name, "from the server")
    write(here / "data/results" / name / "mine", "mine")
    pulled = pull(server)
    assert not pulled.problems and pulled.files.cleared == [f"data/results/{name}"]
    assert (here / "data/results" / name).read_text() == "from the server"
    assert (here / pulled.backup / "data/results" / name / "mine").read_text() == "mine"
    write(there / "data/results" / name, "from the server, more")
    replaced = pull(server).files.replaced
    # A line break can't be noted.
    assert replaced == ([f"data/results/{name}"] if "\n" in name else [])


def test_a_push_of_the_same_sends_nothing(server: TargetSession) -> None:
    push(server)
    pushed = push(again(server))
    assert not pushed.files.anything and pushed.backup == ""


def test_a_push_looks_first_where_nothing_was_changed_here(
    server: TargetSession, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes two round trips less; what others changed there is seen by it."""
    monkeypatch.setattr(push_transfer, "INSTANT", 0.0)
    push(server)
    runs = rsyncs(monkeypatch)
    push(again(server))
    assert len(runs) == 1 and "-n" in runs[0]
    (there / "src/train.py").unlink()
    runs.clear()
    assert push(again(server)).files.sent == ["src/train.py"]
    assert ["-n" in argv for argv in runs] == [True, False]
    (here / "src/train.py").write_text("the second")
    runs.clear()
    assert push(again(server)).files.sent == ["src/train.py"]
    assert ["-n" in argv for argv in runs] == [False]


def test_a_push_to_a_server_that_is_near_does_not_look_first(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_transfer, "INSTANT", 60.0)
    push(server)
    runs = rsyncs(monkeypatch)
    for _ in range(2):
        push(again(server))
    assert ["-n" in argv for argv in runs] == [True, False]


def test_what_a_push_replaces_or_deletes_is_kept_there(
    server: TargetSession, here: Path, there: Path
) -> None:
    write(here / "src/old.py", "old")
    push(server)
    write(here / "src/train.py", "the second")
    (here / "src/old.py").unlink()
    pushed = push(again(server))
    assert (pushed.files.sent, pushed.files.deleted) == (["src/train.py"], ["src/old.py"])
    assert pushed.backup.startswith(".remote/backup/")
    assert (there / "src/train.py").read_text() == "the second"
    assert not (there / "src/old.py").exists()
    assert (there / pushed.backup / "src/train.py").read_text() == "first"
    assert (there / pushed.backup / "src/old.py").read_text() == "old"


def test_a_dry_run_of_a_first_push_makes_nothing(server: TargetSession, there: Path) -> None:
    pushed = push(server, dry_run=True)
    assert pushed.files.sent == ["src/train.py"]
    assert not there.exists() and not server.facts.ours
    assert not (server.project.state / "last-target").exists()


def test_a_dry_run_of_a_first_push_names_what_would_stay(server: TargetSession, here: Path) -> None:
    write(here / "data/raw/a.csv", "a")
    (here / "data/raw/gone").symlink_to("/no/such/disk")
    would = push(server, dry_run=True).files
    assert [problem.path for problem in would.problems] == ["data/raw/gone"]
    did = push(server).files
    assert (sorted(would.sent), would.problems) == (sorted(did.sent), did.problems)


def test_a_dry_run_of_a_later_push_changes_nothing(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    write(here / "src/train.py", "the second")
    write(here / "src/new.py", "new")
    pushed = push(again(server), dry_run=True)
    assert sorted(pushed.files.sent) == ["src/new.py", "src/train.py"]
    assert (there / "src/train.py").read_text() == "first" and not (there / "src/new.py").exists()


def test_of_a_folder_of_others_nothing_is_deleted_until_it_is_taken_over(
    server: TargetSession, there: Path
) -> None:
    write(there / "theirs.py", "x")
    pushed = push(server)
    assert pushed.foreign and pushed.files.deleted == []
    assert (there / "theirs.py").exists() and (there / "src/train.py").exists()
    would = push(again(server), take_over=True, dry_run=True)
    assert would.files.deleted == ["theirs.py"] and (there / "theirs.py").exists()
    taken = push(again(server), take_over=True)
    assert (taken.foreign, taken.files.deleted) == (False, ["theirs.py"])
    assert (there / taken.backup / "theirs.py").read_text() == "x"


@pytest.mark.parametrize("name", [".rsyncignore", "pyproject.toml"])
def test_rules_on_a_disk_that_is_not_mounted_are_not_taken_for_none(
    server: TargetSession, here: Path, there: Path, name: str
) -> None:
    rules = {
        ".rsyncignore": "/private\n",
        "pyproject.toml": '[tool.remote]\noutputs = ["private"]\n',
    }
    write(here.parent / "disk" / name, rules[name])
    (here / name).symlink_to(here.parent / "disk" / name)
    write(here / "private/a", "a")
    push(server)
    (here.parent / "disk").rename(here.parent / "elsewhere")
    with pytest.raises(ConfigError, match=f"{name} can't be read"):
        push(again(server))
    assert not (there / "private/a").exists()


def test_what_jobs_wrote_is_neither_sent_nor_deleted(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    write(there / "data/results/metrics.csv", "theirs")
    write(here / "data/results/mine.csv", "mine")
    pushed = push(again(server))
    assert (pushed.files.sent, pushed.files.deleted) == ([], [])
    assert [path.name for path in (there / "data/results").iterdir()] == ["metrics.csv"]


def test_declared_outputs_stay_there_and_come_back(
    server: TargetSession, here: Path, there: Path
) -> None:
    declared = ["out", "exp/ckpt", "model.pkl", "data/06_models"]
    write(here / "pyproject.toml", f"[tool.remote]\noutputs = {json.dumps(declared)}\n")
    names = ["out/a.pt", "exp/ckpt/a.pt", "model.pkl", "data/06_models/a.pt"]
    for name in names:
        write(here / name, "mine")
    write(here / "exp/run.py", "code")
    assert sorted(push(server).files.sent) == ["exp/run.py", "pyproject.toml", "src/train.py"]
    for name in (*names, "outside/x", "exp/log.txt"):
        write(there / name, "theirs")
    deleted = {name.rstrip("/") for name in push(again(server)).files.deleted}
    assert deleted == {"outside", "outside/x", "exp/log.txt"}
    pulled = pull(again(server))
    assert sorted(pulled.files.sent) == sorted(names)
    assert all((here / name).read_text() == "theirs" for name in names)
    assert (here / pulled.backup / "model.pkl").read_text() == "mine"


def test_outputs_that_can_not_be_stop_a_push_and_a_pull(
    server: TargetSession, here: Path, there: Path
) -> None:
    write(here / "pyproject.toml", '[tool.remote]\noutputs = ["src"]\n')
    for step in (push, pull):
        with pytest.raises(ConfigError, match="'src' is the project's own"):
            step(again(server))
    assert not there.exists()


def test_processed_data_goes_along_and_none_there_is_deleted(
    server: TargetSession, here: Path, there: Path
) -> None:
    write(here / "data/processed/mine.csv", "mine")
    push(server)
    write(there / "data/processed/theirs.csv", "theirs")
    write(here / "data/processed/more.csv", "more")
    pushed = push(again(server))
    assert pushed.files.sent == ["data/processed/more.csv"] and pushed.files.deleted == []
    names = {path.name for path in (there / "data/processed").iterdir()}
    assert names >= {"mine.csv", "theirs.csv", "more.csv"}


def test_a_target_that_was_removed_since_is_made_again(server: TargetSession, there: Path) -> None:
    push(server)
    there.rename(there.with_name("away"))
    assert push(again(server)).files.sent == ["src/train.py"]
    assert (there / ".remote/projects").is_dir()


@pytest.mark.parametrize(("fits", "transfers"), [(True, 1), (False, 3)])
def test_a_large_push_goes_on_where_the_whole_project_fits(
    server: TargetSession,
    here: Path,
    there: Path,
    monkeypatch: pytest.MonkeyPatch,
    fits: bool,
    transfers: int,
) -> None:
    """Else it is looked at what it would send, and asked whether that fits."""
    push(server)
    (here / "large").write_bytes(os.urandom(SPARE + 1))
    if not fits:
        monkeypatch.setattr(push_transfer, "fits_whole", lambda *_: False)
    runs = rsyncs(monkeypatch)
    assert push(again(server)).files.sent == ["large"]
    # A look that finds the first transfer's end still there is repeated (`when_free`).
    kinds = [kind for kind, _ in itertools.groupby("-n" in argv for argv in runs)]
    assert len(kinds) == transfers and (there / "large").stat().st_size > SPARE
    assert not any((there / ".remote/partial").rglob("*.*"))


@pytest.mark.parametrize(
    ("dry_run", "told"),
    [
        (
            False,
            "pushed to /there: 2 files, 2.0 kB, 1.2 s,"
            " 1 deleted (old versions kept on the server in .remote/backup/1)",
        ),
        (True, "would push to /there: 2 files, 1 deleted"),
    ],
)
def test_a_push_is_told_in_one_line(server: TargetSession, dry_run: bool, told: str) -> None:
    server.target = Target.parse("/there")
    tally = Tally(sent=["a", "b"], deleted=["c"], bytes=2000)
    pushed = Pushed(tally, 1.25, ".remote/backup/1", False, "", 0, True)
    assert line(server, pushed, dry_run=dry_run) == told


# Pull


def test_results_come_back_once(server: TargetSession, here: Path, there: Path) -> None:
    push(server)
    write(there / "data/results/a.csv", "a")
    write(there / "logs/train.log", "log")
    write(there / "src/made there.py", "x")
    pulled = pull(again(server))
    assert sorted(pulled.files.sent) == ["data/results/a.csv", "logs/train.log"]
    assert (here / "data/results/a.csv").read_text() == "a"
    assert not (here / "src/made there.py").exists()
    assert pulled.records.summary is None and not (here / "mlflow.db").exists()
    assert pull(again(server)).files.sent == []


def test_what_a_pull_replaces_is_kept_here_and_nothing_is_deleted(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    write(there / "data/results/a.csv", "theirs, longer")
    for name in ("a.csv", "only here.csv"):
        write(here / "data/results" / name, "mine")
    pulled = pull(again(server))
    assert (here / "data/results/a.csv").read_text() == "theirs, longer"
    assert (here / pulled.backup / "data/results/a.csv").read_text() == "mine"
    assert (here / "data/results/only here.csv").exists()


def test_a_file_that_grows_there_is_replaced_without_a_backup(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    for length in (10, 20, 30):
        write(there / "data/results/ckpt.pt", "x" * length)
        pulled = pull(again(server))
        assert pulled.files.sent == ["data/results/ckpt.pt"] and pulled.files.replaced == []
        assert not list(here.glob(".remote/backup/pull-*"))
    assert (here / "data/results/ckpt.pt").read_text() == "x" * 30


def test_what_was_changed_here_since_the_last_pull_is_kept(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    for name in ("a.csv", "b.csv"):
        write(there / "data/results" / name, "first")
    pull(again(server))
    (here / "data/results/a.csv").write_text("mine!")
    for name in ("a.csv", "b.csv"):
        write(there / "data/results" / name, "the second")
    pulled = pull(again(server))
    assert pulled.files.replaced == ["data/results/a.csv"]
    assert [path.name for path in (here / pulled.backup).rglob("*.csv")] == ["a.csv"]
    assert (here / pulled.backup / "data/results/a.csv").read_text() == "mine!"


def test_what_could_not_be_replaced_is_still_the_users_own(
    server: TargetSession, here: Path, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsync_that_heeds_modes(monkeypatch, tmp_path)
    push(server)
    write(there / "data/results/a.csv", "theirs, longer")
    write(here / "data/results/a.csv", "mine")
    (here / "data/results").chmod(0o555)
    pulled = pull(again(server))
    assert [problem.path for problem in pulled.problems] == ["data/results/a.csv"]
    assert (pulled.files.sent, pulled.files.replaced) == ([], [])
    assert (here / "data/results/a.csv").read_text() == "mine"
    (here / "data/results").chmod(0o755)
    pulled = pull(again(server))
    assert (here / "data/results/a.csv").read_text() == "theirs, longer"
    assert (here / pulled.backup / "data/results/a.csv").read_text() == "mine"


def test_what_a_pull_found_unchanged_is_transferred_again_once_either_side_changes(
    server: TargetSession, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(server)
    for name in ("data/results/r.csv", "data/results/s.csv", "logs/l.txt"):
        write(there / name, "theirs")
    runs = rsyncs(monkeypatch)
    both = ["./data/results/", "./logs/"]
    for expected in (both, both, []):
        pull(again(server))
        assert sorted(argv[-1] for argv in runs) == expected
        runs.clear()
    changes: list[Callable[[], object]] = [
        lambda: write(there / "data/results/r.csv", "longer than it was"),
        lambda: (here / "data/results/s.csv").unlink(),
        lambda: write(here / "data/results/r.csv", "mine, and no longer theirs"),
        lambda: os.utime(there / "data/results/s.csv", (1, 1)),
    ]
    for change in changes:
        change()
        assert pull(again(server)).files.sent
        assert [argv[-1] for argv in runs] == ["./data/results/"]
        assert not pull(again(server)).files.sent
        runs.clear()
    for name in ("r.csv", "s.csv"):
        path = f"data/results/{name}"
        assert (here / path).read_bytes() == (there / path).read_bytes()


def test_what_no_rsync_finds_unchanged_is_not_noted(
    server: TargetSession, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run notes nothing; neither does a pull that left something, which the next one tells."""
    push(server)
    write(there / "data/results/r.csv", "theirs")
    (there / "data/results/out").symlink_to("/etc/hostname")
    (there / "logs/elsewhere").mkdir(parents=True)
    write(there / "logs/elsewhere/l.txt", "theirs")
    (here.with_name("disk")).mkdir()
    (here / "logs").mkdir()
    (here / "logs/elsewhere").symlink_to(here.with_name("disk"))
    write(there / "outputs/o", "theirs")
    for _ in range(2):
        pull(again(server))
    server.file.with_suffix(".outputs.json").unlink()
    pull(again(server), dry_run=True)
    runs = rsyncs(monkeypatch)
    assert pull(again(server)).files.left == ["data/results/out -> /etc/hostname"]
    assert "./outputs/" in [argv[-1] for argv in runs]
    runs.clear()
    assert pull(again(server)).files.left == ["data/results/out -> /etc/hostname"]
    assert sorted({argv[-1] for argv in runs}) == [
        "./data/results/",
        "./logs/",
        "./logs/elsewhere/",
    ]


def test_a_dry_run_of_a_pull_brings_nothing(server: TargetSession, here: Path, there: Path) -> None:
    push(server)
    write(there / "data/results/a.csv", "a")
    pulled = pull(again(server), dry_run=True)
    assert pulled.files.sent == ["data/results/a.csv"]
    assert not (here / "data").exists() and not server.pulled.exists()


def test_the_ended_jobs_of_a_pull_are_noted(server: TargetSession, there: Path) -> None:
    push(server)
    ended, other = (JobPaths(there, f"20260101-09000{n}-train-aaaa") for n in (1, 2))
    for paths in (ended, other):
        paths.folder.mkdir(parents=True)
        write_json(paths.job, {"id": paths.id, "kind": "command", "source": "", "name": "train"})
        write_json(paths.status, {"state": FINISHED})
    pull(again(server))
    assert sorted(json.loads(server.pulled.read_text())) == [ended.id, other.id]


def test_a_job_whose_own_store_holds_what_was_refused_is_not_done_with(
    server: TargetSession, here: Path, there: Path, tmp_path: Path
) -> None:
    push(server)
    empty = empty_store(tmp_path / "empty")
    shutil.copy(empty, here / "mlflow.db")
    paths, done = (JobPaths(there, f"20260101-09000{n}-train-aaaa") for n in (1, 2))
    for each in (paths, done):
        each.folder.mkdir(parents=True)
        Job(id=each.id, kind="command", source="", name="train").to_file(each.job)
        JobStatus(FINISHED).to_file(each.status)
    own = Store(paths.code, empty)
    own.run("r1")
    paths.stores.write_text(json.dumps(str(own.file)))
    own.sql("UPDATE runs SET artifact_uri = '/elsewhere/r1/artifacts'")
    assert [each.id for each in pull(again(server)).records.summary.refused] == ["r1"]
    assert json.loads(server.pulled.read_text()) == [done.id]

    own.sql("UPDATE runs SET artifact_uri = ?", f"{own.root}/mlruns/1/r1/artifacts")
    assert pull(again(server)).records.summary.refused == ()
    assert sorted(json.loads(server.pulled.read_text())) == [paths.id, done.id]


def test_what_a_job_left_elsewhere_is_told_by_the_first_pull_after_its_end(
    server: TargetSession, there: Path
) -> None:
    push(server)
    paths = JobPaths(there, "20260101-000000-a-0000")
    paths.folder.mkdir()
    write_json(paths.status, {"state": FINISHED})
    Unpulled(files={"out/ckpt.pt": 12_000_000}).to_file(paths.unpulled)
    write(paths.job, "{}")
    told = {paths.id: "out/ckpt.pt (1 file, 12.0 MB)"}
    assert pull(again(server), dry_run=True).unpulled == told
    assert pull(again(server)).unpulled == told
    assert pull(again(server)).unpulled == {}


def test_a_file_where_a_folder_of_outputs_has_to_be_is_told_and_keeps_nothing_else(
    server: TargetSession, here: Path, there: Path
) -> None:
    push(server)
    write(there / "data/results/a.csv", "a")
    write(there / "logs/train.log", "b")
    write(here / "data", "mine")
    for dry_run in (True, False):
        pulled = pull(again(server), dry_run=dry_run)
        assert [(each.path, each.kind) for each in pulled.problems] == [("data", IN_THE_WAY)]
        assert pulled.files.sent == ["logs/train.log"]
    assert (here / "data").read_text() == "mine"


def test_a_target_that_is_not_there_says_what_to_do(server: TargetSession, there: Path) -> None:
    with pytest.raises(TransferError, match="does not exist yet") as caught:
        pull(server)
    assert caught.value.hint == "Push first: make sync-push" and not there.exists()


# Links that the settings ask for


def test_a_linked_folder_is_neither_pushed_over_nor_pulled(
    server: TargetSession, here: Path, there: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "datasets/imagenet"
    write(disk / "1.png", "theirs")
    write(here / "data/imagenet/1.png", "ours")
    write(here / "data/imagenet/2.png", "ours too")

    def linked(text: str) -> TargetSession:
        (here / "pyproject.toml").write_text(text)
        project = Project(here, {})
        return TargetSession.of(project, server.target)

    settings = f'[tool.remote]\nlinks = {{ "data/imagenet" = "{disk}" }}\n'
    for _ in range(2):
        push(linked(settings))
        assert os.readlink(there / "data/imagenet") == str(disk)
        assert [path.name for path in disk.iterdir()] == ["1.png"]
        assert (disk / "1.png").read_text() == "theirs"
    pull(linked(settings))
    assert (here / "data/imagenet/1.png").read_text() == "ours"
    # Without the entry, what is here goes there again.
    push(linked(""))
    assert not (there / "data/imagenet").is_symlink()
    assert (there / "data/imagenet/2.png").read_text() == "ours too"
    assert [path.name for path in disk.iterdir()] == ["1.png"]
