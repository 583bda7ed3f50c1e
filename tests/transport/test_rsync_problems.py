"""What rsync says of single paths, as its versions say it."""

from __future__ import annotations

import pytest

from remote.transport.rsync_problems import DANGLING, MANY, STRANGE, Problem, concerned, problems_of

TARGET, ROOT = "gpu:proj", "/me/project"


def read(words: str, *, is_pull: bool = False, folder: str = "") -> list[tuple[str, str, str]]:
    problems = problems_of(words, is_pull=is_pull, target=TARGET, root=ROOT, folder=folder)
    return [(problem.path, problem.there, problem.reason) for problem in problems]


@pytest.mark.parametrize(
    ("line", "path", "is_sender", "reason"),
    [
        ('rsync: [sender] opendir "/x/a" failed: Permission denied (13)', "/x/a", True, ""),
        ('rsync: send_files failed to open "/x/it"s": Permission denied (13)', '/x/it"s', True, ""),
        ('rsync: [receiver] mkstemp "/x/r/.f.1.xgivYJ" failed: Permission denied (13)', "/x/r/f.1", False, ""),
        ('rsync: recv_generator: mkdir "/x/new" failed: Permission denied (13)', "/x/new", False, ""),
        ('rsync: [receiver] rename "/tmp/f.01xkmw" -> "a/f": Permission denied (13)', "a/f", False, ""),
        ('rsync: [generator] failed to set times on "/x/.": Permission denied (13)', "/x/.", False, ""),
        ('rsync: [generator] symlink "/x/l" -> "a/f" failed: Permission denied (13)', "/x/l", False, ""),
        ('symlink has no referent: "/x/l"', "/x/l", True, "symlink has no referent"),
        ("could not make way for new regular file: a: b", "a: b", False, "it stands in the way of a regular file"),
        ("Unable to create partial-dir for a/b -- discarding completed file.", "a/b", False, "its folder can't be written to"),
        ("openrsync: error: src/a: openat: Permission denied", "", False, "src/a: openat: Permission denied"),
    ],
)  # fmt: skip
def test_a_line_names_a_path_and_the_end_that_is_concerned(
    line: str, path: str, is_sender: bool, reason: str
) -> None:
    reason = reason or "Permission denied"
    assert read(line) == [(path, "" if is_sender else TARGET, reason)]
    assert read(line, is_pull=True) == [(path, TARGET if is_sender else "", reason)]


def test_paths_here_are_those_of_the_project() -> None:
    words = f'rsync: [sender] send_files failed to open "{ROOT}/src/a.py": Permission denied (13)'
    assert read(words)[0][0] == "src/a.py"
    words = "could not make way for new symlink: thing"
    assert read(words, is_pull=True, folder="data/results/")[0][0] == "data/results/thing"
    words = 'rsync: [receiver] rename "/me/project/.remote/x/f.01xkmw" -> "sub/f": Permission denied (13)'
    assert read(words, is_pull=True, folder="data/results/")[0][0] == "data/results/sub/f"


def test_a_path_is_that_of_the_file_however_rsync_writes_it() -> None:
    words = f'rsync: [sender] send_files failed to open "{ROOT}/a\\#012 \\#134#012\u2028": Permission denied (13)'
    assert [row[0] for row in read(words)] == ["a\n \\#012\u2028"]
    # No path has that letter.
    words = f'rsync: [sender] send_files failed to open "{ROOT}/a\\#000": Permission denied (13)'
    assert [row[0] for row in read(words)] == ["a\\#000"]


def test_what_names_no_path_is_no_problem() -> None:
    words = [
        "*** Skipping any contents from this failed directory ***",
        "IO error encountered -- skipping file deletion",
        'file has vanished: "/x/a"',
        "",
        "rsync error: some files/attrs were not transferred (code 23) at main.c(1347) [sender=3.2.7]",
    ]
    assert read("\n".join(words)) == []


def test_what_a_hostile_server_writes_there_is_kept_in_bounds() -> None:
    line = 'rsync: [sender] send_files failed to open "' + '": ' * 100_000
    # Few long lines, and many of which each is longer than what is read of it.
    for lines, count in ((f"{line}\n" * 20, 1), (f"{line[:6000]}\n" * 20_000, 2)):
        problems = problems_of(lines, is_pull=True, target=TARGET, root=ROOT, folder="")
        assert len(problems) == count and len(problems[0].text) < 6000


def test_of_very_many_the_last_one_is_of_any_path() -> None:
    lines = [
        f'rsync: [sender] send_files failed to open "/p/a{number}": Permission denied (13)'
        for number in range(MANY + 2)
    ]
    named = problems_of("\n".join(lines), is_pull=True, target=TARGET, root=ROOT, folder="")
    *told, last = named
    assert [problem.path for problem in told] == [f"/p/a{number}" for number in range(MANY)]
    assert last.text.startswith(f"a path on {TARGET}: it is one of 2 more. Make it readable")
    assert concerned(named, ["p/b"]) == {"p/b"} and concerned(told, ["p/b"]) == set()


@pytest.mark.parametrize(
    ("path", "does"),
    [
        ("mlruns/1/a/artifacts/x", True),
        ("mlruns/1/a/artifacts", True),
        ("/srv/p/mlruns/1/a/artifacts/x", True),
        ("mlruns/1", True),
        ("/srv/p/mlruns", True),
        ("", True),
        ("/".join("x" * 101), True),
        ("mlruns/1/b", False),
        ("mlruns/1/a/artifacts2", False),
        ("data", False),
    ],
)
def test_a_problem_concerns_what_it_is_in_and_what_it_is_above(path: str, does: bool) -> None:
    places = ["mlruns/1/a/artifacts", "mlruns/2/c/artifacts"]
    assert (places[0] in concerned([Problem(path, "")], places)) == does


@pytest.mark.parametrize("kind", ["unreadable", "unwritable", "in the way", DANGLING, STRANGE])
def test_each_has_its_machine_and_its_next_step(kind: str) -> None:
    assert Problem("a", "b", kind).text.startswith("a on this machine: b. ")
    there = Problem("a", "b", kind, TARGET).text
    assert there.startswith("a on gpu:proj: b. ") and "on the server" in there
