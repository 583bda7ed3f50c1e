"""One place, spelled in several ways, is one target: one key, one set of facts, one base."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.config import Project
from remote.session import TargetSession
from remote.target import Target
from remote.target_facts import TargetFacts
from scripts.sshd import PrivateSshd

CONFIG = """
Host gpu alias
    HostName 10.1.2.3
    User ada
    Port 2222
Host jumped
    HostName 10.1.2.3
    User ada
    Port 2222
    ProxyJump door
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    config = tmp_path / "ssh_config"
    config.write_text(CONFIG)
    return Project(tmp_path / "project", {"REMOTE_SSH_CONFIG": str(config)})


def session(project: Project, text: str) -> TargetSession:
    return TargetSession.of(project, Target.parse(text))


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("gpu:/proj", "gpu:/proj/"),
        ("gpu:proj", "gpu:./proj"),
        ("gpu:/proj", "ada@gpu:/proj"),
        ("gpu:/proj", "alias:/proj"),
        ("ada@alias:/proj", "gpu://proj/x/.."),
        ("gpu:/proj", "Ada@gpu:/proj"),
        ("gpu:/proj", "gpu:/other"),
        ("gpu:/proj", "jumped:/proj"),
        ("gpu:/proj", "10.1.2.3:/proj"),
        ("gpu:/proj", "/proj"),
    ],
)
def test_two_spellings_of_one_place_are_one_target(
    project: Project, first: str, again: str
) -> None:
    known = session(project, first)
    known.remember(ours=True)
    is_other = again in ("Ada@gpu:/proj", "gpu:/other", "jumped:/proj", "10.1.2.3:/proj", "/proj")
    for _ in range(2):
        found = session(project, again)
        assert (found.key != known.key) == is_other
        assert found.facts.ours != is_other
        assert found.source == (again if is_other else str(known.target))


def test_a_folder_here_is_one_target_by_each_of_its_links(tmp_path: Path, project: Project) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    first = session(project, str(tmp_path / "there"))
    first.remember(ours=True)
    assert session(project, str(tmp_path / "link")).key == first.key


def test_a_spelling_with_a_history_of_its_own_keeps_it(project: Project) -> None:
    one, two = session(project, "gpu:/proj"), session(project, "alias:/proj")
    one.remember(ours=True)
    two.remember(noisy=True)
    assert session(project, "alias:/proj").key == two.key != one.key


def test_what_older_versions_wrote_is_found_by_the_same_spelling(project: Project) -> None:
    old = session(project, "gpu:/proj")
    old.file.parent.mkdir(parents=True)
    TargetFacts(ours=True, links=("a",)).to_file(old.file)
    assert session(project, "gpu:/proj").facts.links == ("a",)
    # Where that leads is noted with the next news.
    session(project, "gpu:/proj").remember(cut=True)
    assert session(project, "alias:/proj").key == old.key


def test_only_the_server_tells_where_its_home_is(sshd: PrivateSshd, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project", {"REMOTE_SSH_CONFIG": str(sshd.config)})
    first = session(project, f"gpu:{sshd.home}/{tmp_path.name}")
    first.prepare()
    again = session(project, f"gpu:{tmp_path.name}")
    assert again.key != first.key
    again.prepare()
    assert (again.key, again.facts) == (first.key, first.facts)
    assert session(project, f"gpu:{tmp_path.name}").key == first.key
    first.ssh.close()  # type: ignore[union-attr]
