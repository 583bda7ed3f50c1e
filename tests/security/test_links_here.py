"""Links that are here, perhaps from an archive of somebody else's: no pull writes where a disk for data
isn't, and no push reads there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.sync import pull, push
from remote.operations.transfers.linked_folders import refusal, to_push
from remote.session import TargetSession
from remote.target import Target


@pytest.fixture
def root(isolated: Path) -> Path:
    root = isolated / "work/project"
    (root / "src").mkdir(parents=True)
    for name in (".ssh", ".config/systemd", "sub/.git", "sub/deep", "big/disk"):
        (isolated / name).mkdir(parents=True)
    return root


ASTRAY = (
    "~",
    "~/",
    "~/..",
    "~/work",
    "~/.ssh",
    "~/.config/systemd",
    "~/big/../.ssh",
    "~/alias",
    "~/sub",
    "~/sub/deep",
    "/",
    "/etc",
    "/usr/local",
    "/dev/shm/../../etc",
)


@pytest.mark.parametrize("place", ["data/results", "data/results/ckpt", "logs", "data"])
@pytest.mark.parametrize("target", ASTRAY)
def test_a_link_to_private_places_is_not_followed(
    root: Path, isolated: Path, place: str, target: str
) -> None:
    (isolated / "alias").symlink_to(".ssh")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(os.path.expanduser(target))
    problem = refusal(root, place)
    assert problem and problem.path == place and "a link to" in problem.text
    assert refusal(root, f"{place}/deeper") == problem


@pytest.mark.parametrize("target", ["~/big/disk", "~/big"])
def test_a_link_to_another_disk_is(root: Path, target: str) -> None:
    (root / "logs").symlink_to(os.path.expanduser(target))
    assert refusal(root, "logs") is None


def test_a_pull_writes_through_no_link_of_an_archive(
    root: Path, isolated: Path, tmp_path: Path
) -> None:
    server = TargetSession.of(Project(root, {}), Target.parse(f"{tmp_path}/target"))
    push(server)
    there = Path(server.target.path)
    for name in ("data/results/ckpt/authorized_keys", "data/results/fine"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("planted")
    (root / "data/results").mkdir(parents=True)
    (root / "data/results/ckpt").symlink_to(isolated / ".ssh")
    pulled = pull(server)
    assert [problem.path for problem in pulled.problems] == ["data/results/ckpt"]
    assert (root / "data/results/fine").exists() and not list((isolated / ".ssh").iterdir())


def test_a_push_reads_through_none(root: Path, isolated: Path) -> None:
    (root / "data").mkdir()
    (root / "data/raw").symlink_to(isolated / ".ssh")
    follow, problems = to_push(root, ())
    assert follow == [] and [problem.path for problem in problems] == ["data/raw"]
