"""rsync's command lines and its words: pure; `remote.transport.rsync` runs them.

The client may be openrsync or rsync 2.6.9 (macOS): what they lack is used only where the dialect
has it. Remote paths never appear in a command: the server's login shell changes
into the target by a link with a plain name first, and the path is then `./`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.job import outputs
from remote.job.paths import CLAIMS, STATE, partial_name
from remote.job.tree import PushStamp
from remote.target import Target
from remote.transport import acting_files, tree_lock
from remote.transport.rsync_dialect import Dialect
from remote.transport.rsync_filters import (
    UNFINISHED,
    literal,
    push_filters,
    secret_filters,
)
from remote.transport.ssh import Ssh

# Plain letters: zsh takes a word that begins with `=` for a command's path.
MARK = "remote-rsync-starts-here"

#: Recursive, with links, modes and times, holes as holes; every change is listed, names as they are.
OPTIONS = ("-rlptSi", "--stats", "--8-bit-output")

#: What a laptop's umask of 002 lets a group change, it could there, too: others' code would run as us.
SAFE_MODES = "--chmod=go-w"

#: The same for what comes from a server, which decides on nothing here but content.
RESULTS = ("-tSi", "--omit-dir-times", "--stats", "--8-bit-output")

#: A path that every login shell reads as it is.
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")

#: Has the sender name the paths that rules have it leave out, where it is on this machine, or not.
NAME_HIDDEN = ("--debug=filter", "--remote-option=--debug=filter")


@dataclass(frozen=True)
class Remote:
    """The other end of a transfer: `key` names the target's link on the server."""

    target: Target
    ssh: Ssh | None
    key: str
    noisy: bool = False
    options: Sequence[str] = ()
    """What each transfer over a long way takes."""

    @property
    def works(self) -> Callable[[], bool] | None:
        """What tells whether the way there still works."""
        ssh = self.ssh
        return (lambda: ssh.answers) if ssh else None

    def arguments(self, *, project: str = "", stamp: PushStamp | None = None) -> list[str]:
        """How to get there; with `project`, only if the target is that project's own.

        With the `stamp` of a push, under the lock on the target's tree.
        """
        if self.ssh is None:
            return []
        link = f".cache/remote-gpu-workflow/targets/{self.key}"
        rsync = tree_lock.remote_command(stamp) if stamp else "rsync"
        steps, rsh = [f"cd {link}", rsync], self.ssh.rsh()
        if project:
            # One that is a link to a disk that isn't mounted would be replaced by a folder.
            steps.insert(0, f"test -d {link}/data")
            for folder in CLAIMS:
                steps.insert(0, f"test -d {link}/{STATE}/{folder}/{project}")
        # A start-up file may have gone elsewhere.
        steps.insert(0, "cd")
        if self.noisy:
            steps.insert(0, f"echo {MARK}")
            rsh = self.ssh.rsh(sys.executable, str(Path(__file__).with_name("skip_banner.py")))
        return ["-e", rsh, f"--rsync-path={' && '.join(steps)}", "-z", *self.options]

    def place(self, folder: str = "") -> str:
        """rsync's name for a folder of the target; `folder` in plain letters."""
        if self.ssh is None:
            return f"{self.target.path}/{folder}"
        return f"{self.target.bracketed_login}:./{folder}"


def unfinished(dialect: Dialect, project: str, *, apart: bool) -> list[str]:
    """Where a push by this copy of the project keeps what it has not finished.

    What rsync writes lies in the target's own folder of the toolkit where that is `apart`; what is
    whole, or was cut off, waits beside its place in a folder that no user's file is called like.
    """
    temporary = [f"--temp-dir={STATE}/partial/{project}"] if apart else []
    return dialect.only(f"--partial-dir={partial_name(project)}", *temporary)


def push_argv(
    root: Path,
    remote: Remote,
    dialect: Dialect,
    *,
    project: str,
    stamp: str,
    delete: bool,
    dry_run: bool = False,
    fresh: bool = False,
    destination: str = "",
    declared: Sequence[str] = (),
    left: Iterable[str] = (),
    partial: Sequence[str] = (),
    push: PushStamp | None = None,
    data: bool = False,
    list_links: bool = False,
    checksum: bool = False,
) -> list[str]:
    """Mirror the project to the target; run in `root`. `partial` is what `unfinished` says.

    A folder that is a link there is followed and kept. With `data`, only that folder goes, with
    what its links lead to that lead out of the project. All links are named where `list_links`.
    What is replaced or deleted there goes to the backup folder named `stamp` first. Updates and
    deletions happen together at the end, so that a push that is cut off changes nothing; a `fresh`
    target has nothing that could change. With a `push`, the tree there is locked meanwhile, and
    becomes that push's.
    """
    deleting = ["--delete"] if delete and not fresh else []
    links = ["--keep-dirlinks", *(["-R", "--copy-unsafe-links"] if data else [])]
    links += ["-i"] if list_links else []
    links += ["-c"] if checksum else []
    if dry_run:
        # Later protocols first agree on how to compress and to sum up, which a look doesn't: a round
        # trip. A Mac's rsync speaks no later one.
        plan = ["-n", *(["--protocol=29"] if dialect.only("--no-inc-recursive") else [])]
    elif fresh:
        plan = [*partial]
    else:
        late = dialect.only("--delete-delay") or ["--delete-after"] if delete else []
        backup = ["--backup", f"--backup-dir={STATE}/backup/{stamp}"]
        plan = [*late, *backup, *dialect.only("--delay-updates"), *partial]
    way = [] if destination else remote.arguments(project=project, stamp=push)
    place = destination or remote.place()
    filters = push_filters(root, declared, left, negates=dialect.negates)
    source = "./data/" if data else "./"
    options = [*_sending(dialect), *links, *plan, *deleting]
    return ["rsync", *options, *way, *filters, source, place]


def _sending(dialect: Dialect) -> list[str]:
    """What all that goes to a server is sent with."""
    return [*OPTIONS, *dialect.only(SAFE_MODES)]


def processed_argv(
    root: Path,
    remote: Remote,
    dialect: Dialect,
    *,
    project: str,
    dry_run: bool = False,
    declared: Sequence[str] = (),
    left: Iterable[str] = (),
    partial: Sequence[str] = (),
) -> list[str]:
    """Send processed data that the server lacks; what is there stays as jobs left it.

    Run in `root`, from where the patterns of its ignore file count.
    """
    options = [*_sending(dialect), "--keep-dirlinks", "--ignore-existing"]
    options += ["-n"] if dry_run else partial
    filters = push_filters(root, declared, left, negates=dialect.negates)
    filters.remove("--exclude=/data/processed")
    ends = ["-R", "--no-implied-dirs", "./data/processed/", remote.place()]
    return ["rsync", *options, *remote.arguments(project=project), *filters, *ends]


def put_argv(
    remote: Remote,
    dialect: Dialect,
    folder: str,
    *,
    project: str,
    stamp: str,
    push: PushStamp | None,
    allowed: Iterable[str] = (),
) -> list[str]:
    """Copy `folder` of the working folder, in which links stand for what is meant, to the same one of
    the target. What is replaced goes to the backup folder named `stamp`; without one, nothing is
    copied, and what differs in content is named."""
    options = [*_sending(dialect), "--omit-dir-times", "--keep-dirlinks", "--copy-unsafe-links"]
    plan = ["-n", "-c"]
    if stamp:
        plan = ["--backup", f"--backup-dir={STATE}/backup/{stamp}"]
        plan += unfinished(dialect, project, apart=False)
    filters = [*secret_filters(allowed), *(f"--exclude={name}" for name in UNFINISHED)]
    way = remote.arguments(project=project, stamp=push)
    return ["rsync", *options, "-R", *plan, *way, *filters, f"{folder}/", remote.place()]


def pull_argv(
    remote: Remote,
    dialect: Dialect,
    path: str,
    *,
    backup: Path,
    dry_run: bool = False,
    temporary: Sequence[str] = (),
    apart: Iterable[str] = (),
    only: Sequence[str] = (),
) -> list[str]:
    """Bring back one output, a folder where `path` ends in a slash; run in the project's root.
    `only` are filters of what is wanted of it.

    It is the one place here that the server can write to, and it comes without modes and times of
    folders. What is replaced goes to `backup` first. Nothing is deleted.
    Links that lead out of the folder are left out: a hostile server could have later pulls write
    anywhere by them. So are files that act by being there. An output that is a file comes as one,
    also where it is a link there.
    """
    skipped = [f"--exclude={name}" for name in UNFINISHED]
    skipped += [f"--exclude=/{literal(name)}" for name in apart]
    # A file is brought because the project asks for one of that very name.
    skipped += acting_files.rsync_rules() if path.endswith("/") else []
    skipped += only
    links = ["-rl", "--safe-links"] if path.endswith("/") else ["-L"]
    links += dialect.only("--info=symsafe,name", NAME_HIDDEN[bool(remote.ssh)])
    empty = dialect.only("--prune-empty-dirs")
    plan = ["-n"] if dry_run else ["--backup", f"--backup-dir={backup}", *temporary]
    way = remote.arguments()
    if not PLAIN.fullmatch(path):
        way += dialect.only("--protect-args", "--secluded-args")[:1]
    options = [*RESULTS, *links, *empty, *plan, *way, *skipped]
    return ["rsync", *options, remote.place(path), f"./{path}"]


def artifacts_argv(
    remote: Remote,
    dialect: Dialect,
    *,
    source: str,
    destination: str,
    wanted: Sequence[str],
    backup: Path,
    temporary: Sequence[str] = (),
    acting: bool = False,
) -> list[str]:
    """Bring what is `wanted` below `source` there to `destination` here: options that name it.

    What is replaced goes to `backup` first. What acts by being there comes only with `acting`.
    """
    kept = ["--backup", f"--backup-dir={backup}", *temporary]
    links = ["-rl", "--safe-links", *dialect.only("--info=symsafe,name")]
    naming = dialect.only(NAME_HIDDEN[bool(remote.ssh)])
    left = [] if acting else [*naming, *acting_files.rsync_rules()]
    options = [*RESULTS, *links, *kept, *left, *wanted]
    return ["rsync", *options, *remote.arguments(), remote.place(source + "/"), destination + "/"]


def give_argv(
    remote: Remote,
    dialect: Dialect,
    *,
    source: str,
    destination: str,
    wanted: Path,
    backup: str,
    allowed: Iterable[str] = (),
) -> list[str]:
    """Send artifact folders below `source` here to `destination` there; `wanted` lists them.

    Secrets stay here, but for those that are `allowed`. What is replaced there goes to `backup`,
    which is relative to `destination`.
    """
    options = [*_sending(dialect), "--safe-links"]
    options += ["--backup", f"--backup-dir={backup}"]
    chosen = [*secret_filters(allowed), *filtered(wanted)]
    ends = [f"./{source}/", remote.place(f"{destination}/")]
    return ["rsync", *options, *chosen, *remote.arguments(), *ends]


def snapshot_argv(
    remote: Remote,
    source: str,
    *,
    destination: Path,
    declared: Sequence[str] = (),
    links: Iterable[str] = (),
    allowed: Iterable[str] = (),
) -> list[str]:
    """Bring the frozen code of a job, which lies in `source` below the folder of all jobs, without
    links to the target's own folders, and `links` that it has by settings, and without what the job put
    there under a secret's name."""
    shared = [f"--exclude=/{name}" for name in (*outputs.links(declared), *map(literal, links))]
    shared += secret_filters(allowed)
    ends = [remote.place(f"{STATE}/jobs/{source}/"), f"{destination}/"]
    return ["rsync", *OPTIONS, *remote.arguments(), *shared, *ends]


def incoming_argv(remote: Remote, dialect: Dialect, *, name: str) -> list[str]:
    """Send code that is to run there once; run in the folder that holds it."""
    options = _sending(dialect)
    return ["rsync", *options, *remote.arguments(), "./", remote.place(f"{STATE}/incoming-{name}/")]


def filtered(wanted: Path) -> list[str]:
    """The options for what the filters in a file let through."""
    return [f"--include-from={wanted}", "--exclude=*"]


def listed(wanted: Path, dialect: Dialect) -> list[str]:
    """The options for what a file lists, whether it is there or not; none where rsync can't.

    Each file is compared with all filters: with three for each of 16,000 runs, rsync takes ten times
    as long as with the list. A Mac's rsync doesn't know how to pass over what is missing.
    """
    known = dialect.only("--ignore-missing-args")
    return known and [*known, "--from0", f"--files-from={wanted}"]


def artifact_list(folders: Iterable[str]) -> str:
    """The content of `wanted` where it is a list of folders; `**` is everything."""
    # A name that begins with # would be a comment.
    return "".join("./\0" if folder == "**" else f"./{folder}\0" for folder in folders)


def artifact_filters(folders: Iterable[str]) -> str:
    """The same as filters: these folders, the ones above them, and all that is in them."""
    lines: dict[str, None] = {}
    for folder in folders:
        if folder == "**":
            return "+ /**\n"
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            lines[f"+ /{'/'.join(parts[:depth])}/"] = None
        lines[f"+ /{folder}/**"] = None
    return "\n".join(lines) + "\n"
