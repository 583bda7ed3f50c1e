"""Links that settings ask for in a target: made, changed, taken away, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import target_links
from remote.agent.room import partial_folders
from remote.agent.target_links import arrange
from remote.errors import TargetError
from remote.job.paths import partial_name

ONE, TWO = "a" * 32, "b" * 32


@pytest.fixture
def disk(root: Path, tmp_path: Path) -> Path:
    """What lies elsewhere; two copies of the project push to the target."""
    for name in ("imagenet/val", "coco"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    (tmp_path / "disk/imagenet/val/1.png").write_text("one")
    for project in (ONE, TWO):
        (root / ".remote/projects" / project).mkdir(parents=True, exist_ok=True)
    return tmp_path / "disk"


def links(root: Path) -> dict[str, str]:
    places = (Path(place, name) for place, *lists in os.walk(root) for name in sum(lists, []))
    return {str(p.relative_to(root)): os.readlink(p) for p in places if p.is_symlink()}


def test_each_is_made_changed_and_taken_away(root: Path, disk: Path) -> None:
    (root / "data/empty").mkdir(parents=True)
    first = {"data/imagenet": f"{disk}/imagenet", "weights/big": f"{disk}/coco"}
    arrange(root, ONE, first)
    arrange(root, ONE, first)
    assert links(root) == first and sorted(target_links.places(root)) == sorted(first.values())
    changed = {"data/imagenet": f"{disk}/coco", "data/empty": f"{disk}/imagenet/val/1.png"}
    arrange(root, ONE, changed)
    assert links(root) == changed
    arrange(root, ONE, {})
    assert links(root) == {} and (disk / "imagenet/val/1.png").read_text() == "one"


def test_nobody_takes_away_what_is_another_copys(root: Path, disk: Path) -> None:
    arrange(root, ONE, {"data/a": str(disk)})
    (root / "data/mine").symlink_to(disk)
    arrange(root, TWO, {})
    arrange(root, TWO, {"data/b": str(disk)})
    arrange(root, TWO, {})
    assert links(root) == {"data/a": str(disk), "data/mine": str(disk)}
    # Nor what somebody has changed since.
    (root / "data/a").unlink()
    (root / "data/a").symlink_to("/elsewhere")
    arrange(root, ONE, {})
    assert links(root)["data/a"] == "/elsewhere"


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("data/full", "{disk}", "exists on the server"),
        ("data/file", "{disk}", "exists on the server"),
        ("data/theirs", "{disk}", "exists on the server"),
        ("data/x", "/no/such/disk", "doesn't exist on the server"),
        ("data/x", "{root}/data", "is the target itself"),
        ("data/x", "/", "is the target itself"),
        ("data/results/x", "{disk}", "where jobs write"),
        ("data", "{disk}", "where jobs write"),
        (".remote/jobs", "{disk}", "where jobs write"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_lost(
    root: Path, disk: Path, name: str, place: str, words: str
) -> None:
    (root / "data/full").mkdir(parents=True)
    (root / "data/full/1").touch()
    (root / "data/file").touch()
    (root / "data/theirs").symlink_to("/elsewhere")
    before = links(root)
    with pytest.raises(TargetError, match=words) as caught:
        arrange(root, ONE, {name: place.format(disk=disk, root=root)})
    assert caught.value.hint and links(root) == before
    # Taken out of the settings, all is as it was.
    arrange(root, ONE, {})
    assert links(root) == before


def test_nothing_is_made_in_the_folder_that_a_link_leads_to(root: Path, disk: Path) -> None:
    nested = {"data/a/b": f"{disk}/coco", "data/a": f"{disk}/imagenet"}
    with pytest.raises(TargetError, match="data/a/b, which lies behind another link"):
        arrange(root, ONE, nested)
    assert links(root) == links(disk) == {}


def test_what_pushes_left_is_not_looked_for_behind_them(root: Path, disk: Path) -> None:
    left = disk / "imagenet" / partial_name(ONE)
    left.mkdir()
    arrange(root, ONE, {"data/imagenet": f"{disk}/imagenet"})
    assert list(partial_folders(root, ONE)) == []
    arrange(root, ONE, {})
    (root / "data/imagenet").symlink_to(disk / "imagenet")
    assert list(partial_folders(root, ONE)) == [root / "data/imagenet" / left.name]
