"""rsync's command lines and its words: pure; `remote.transport.rsync` runs them.

The client may be openrsync or rsync 2.6.9 (macOS): what they lack is used only where
`rsync --help` lists it. Remote paths never appear in a command: the server's login shell changes
into the target by a link with a plain name first, and the path is then `./`.
"""

from __future__ import annotations

import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remote.errors import ConfigError
from remote.job import outputs
from remote.job.paths import CLAIMS, PARTIAL, STATE, partial_name
from remote.job.tree import PushStamp
from remote.target import Target
from remote.transport import acting_files, tree_lock
from remote.transport.rsync_problems import Problem
from remote.transport.ssh import Ssh

IGNORE_FILE = ".rsyncignore"
# Plain letters: zsh takes a word that begins with `=` for a command's path.
MARK = "remote-rsync-starts-here"

#: Never pushed, whatever the ignore file says: secrets, and what git keeps for itself.
SECRETS = (
    ".git", ".env", ".env.*", ".netrc", ".pypirc", ".ssh", ".aws", "*.pem", "*.ppk",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk",
)  # fmt: skip

#: Recursive, with links, modes and times, holes as holes; every change is listed, names as they are.
OPTIONS = ("-rlptSi", "--stats", "--8-bit-output")

#: The same for what comes from a server, which decides on nothing here but content.
RESULTS = ("-tSi", "--omit-dir-times", "--stats", "--8-bit-output")

#: A path that every login shell reads as it is.
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")

#: What a sender says of a path that a rule has it leave out (rsync's exclude.c).
_HIDDEN = re.compile(r"\[sender\] hiding (file|directory) (.*) because of pattern ")

#: Has the sender name the paths that rules have it leave out, where it is on this machine, or not.
NAME_HIDDEN = ("--debug=filter", "--remote-option=--debug=filter")

#: Half-written files, ours and rsync's own.
UNFINISHED = (".tmp-*", ".~tmp~", PARTIAL)


@dataclass(frozen=True)
class Dialect:
    """The long options that this machine's rsync has."""

    options: frozenset[str]

    @classmethod
    def of(cls, help_text: str) -> Dialect:
        """Read the output of `rsync --help`."""
        return cls(frozenset(re.findall(r"--[a-z0-9][a-z0-9-]*", help_text)))

    def only(self, *options: str) -> list[str]:
        """Those of `options` that are there; `--name=value` counts by its name."""
        return [option for option in options if option.split("=")[0] in self.options]


@dataclass(frozen=True)
class Remote:
    """The other end of a transfer: `key` names the target's link on the server."""

    target: Target
    ssh: Ssh | None
    key: str
    noisy: bool = False

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
        if self.noisy:
            steps.insert(0, f"echo {MARK}")
            rsh = f"{sys.executable} {Path(__file__).with_name('skip_banner.py')} {rsh}"
        return ["-e", rsh, f"--rsync-path={' && '.join(steps)}", "-z"]

    def place(self, folder: str = "") -> str:
        """rsync's name for a folder of the target; `folder` in plain letters."""
        if self.ssh is None:
            return f"{self.target.path}/{folder}"
        return f"{self.target.bracketed_login}:./{folder}"


def push_filters(root: Path, declared: Sequence[str] = (), left: Iterable[str] = ()) -> list[str]:
    """What a push leaves alone; raises ConfigError.

    `declared` are outputs that pyproject.toml adds (remote.job.outputs), `left` paths that can't be sent. The user's ignore file comes last: rsync's first match decides.
    """
    filters = [f"--exclude=/{name}" for name in (STATE, *outputs.paths(declared))]
    filters += [f"--exclude=/{literal(name)}" for name in left]
    # The journal and the lock beside the store are as little ours to push as the store.
    filters += ["--exclude=/mlflow.db?*", "--include=.env.example"]
    filters += [f"--exclude={name}" for name in (*SECRETS, *UNFINISHED)]
    # P protects: what jobs put into data is never deleted, though data itself is pushed.
    filters += ["--filter=P /data", "--filter=P /data/**"]
    return filters + [f"--exclude={pattern}" for pattern in ignore_patterns(root)]


def ignore_patterns(root: Path) -> list[str]:
    """The lines of the project's ignore file as rsync's --exclude takes them; raises ConfigError.

    rsync itself would take the mark that Windows editors begin a file with (BOM) for a part of the
    first pattern, and what follows a NUL byte for nothing.
    """
    try:
        content = (root / IGNORE_FILE).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{IGNORE_FILE} can't be read: {error.strerror}.") from None
    patterns = []
    for number, line in enumerate(re.split(rb"\r\n|\n|\r", content.removeprefix(BOM_UTF8)), 1):
        pattern = os.fsdecode(line)
        if "\0" in pattern:
            raise ConfigError(f"{IGNORE_FILE} line {number} holds a NUL byte.", "Save it as text.")
        # It empties rsync's list of filters, all of them (rsync(1)).
        if pattern.strip() == "!":
            raise ConfigError(
                f"{IGNORE_FILE} line {number}: '!' would switch off what protects the results.",
                "Remove that line.",
            )
        if pattern and not pattern.startswith(("#", ";")):
            patterns.append(pattern)
    return patterns


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
    destination: str = "",
    declared: Sequence[str] = (),
    left: Iterable[str] = (),
    partial: Sequence[str] = (),
    push: PushStamp | None = None,
    data: bool = False,
    list_links: bool = False,
) -> list[str]:
    """Mirror the project to the target; run in `root`. `partial` is what `unfinished` says.

    A folder that is a link there is followed and kept. With `data`, only that folder goes, with
    what its links lead to that lead out of the project. All links are named where `list_links`.
    What is replaced or deleted there goes to the backup folder named `stamp` first. Updates and
    deletions happen together at the end, so that a push that is cut off changes nothing. With a
    `push`, the tree there is locked meanwhile, and becomes that push's.
    """
    deleting = ["--delete"] if delete else []
    links = ["--keep-dirlinks", *(["-R", "--copy-unsafe-links"] if data else [])]
    links += ["-i"] if list_links else []
    if dry_run:
        # Incremental recursion asks back and forth for folder after folder: slow over a long way.
        plan = ["-n", *dialect.only("--no-inc-recursive")]
    else:
        late = dialect.only("--delete-delay") or ["--delete-after"] if delete else []
        backup = ["--backup", f"--backup-dir={STATE}/backup/{stamp}"]
        plan = [*late, *backup, *dialect.only("--delay-updates"), *partial]
    way = [] if destination else remote.arguments(project=project, stamp=push)
    place = destination or remote.place()
    filters = push_filters(root, declared, left)
    source = "./data/" if data else "./"
    return ["rsync", *OPTIONS, *links, *plan, *deleting, *way, *filters, source, place]


def processed_argv(
    remote: Remote, *, project: str, dry_run: bool = False, partial: Sequence[str] = ()
) -> list[str]:
    """Send processed data that the server lacks; what is there stays as jobs left it."""
    options = [*OPTIONS, "--keep-dirlinks", "--ignore-existing", *(["-n"] if dry_run else partial)]
    skipped = [f"--exclude={name}" for name in (*SECRETS, *UNFINISHED)]
    ends = ["./data/processed/", remote.place("data/processed/")]
    return ["rsync", *options, *remote.arguments(project=project), *skipped, *ends]


def pull_argv(
    remote: Remote,
    dialect: Dialect,
    path: str,
    *,
    backup: Path,
    dry_run: bool = False,
    temporary: Sequence[str] = (),
    apart: Iterable[str] = (),
) -> list[str]:
    """Bring back one output, a folder where `path` ends in a slash; run in the project's root.

    It is the one place here that the server can write to, and it comes without modes and times of
    folders. What is replaced goes to `backup` first. Nothing is deleted.
    Links that lead out of the folder are left out: a hostile server could have later pulls write
    anywhere by them. So are files that act by being there. An output that is a file comes as one, also where it is a link there.
    """
    skipped = [f"--exclude={name}" for name in UNFINISHED]
    skipped += [f"--exclude=/{literal(name)}" for name in apart]
    # A file is brought because the project asks for one of that very name.
    skipped += acting_files.rsync_rules() if path.endswith("/") else []
    links = ["-rl", "--safe-links"] if path.endswith("/") else ["-L"]
    links += dialect.only("--info=symsafe,name", NAME_HIDDEN[remote.ssh is not None])
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
    wanted: Path,
    backup: Path,
    temporary: Sequence[str] = (),
    acting: bool = False,
) -> list[str]:
    """Bring artifact folders below `source` there to `destination` here; `wanted` lists them.

    What is replaced goes to `backup` first. What acts by being there comes only with `acting`.
    """
    naming = NAME_HIDDEN[remote.ssh is not None]
    options = [
        *RESULTS,
        "-rl",
        "--backup",
        f"--backup-dir={backup}",
        *temporary,
        "--safe-links",
        *dialect.only("--info=symsafe,name"),
        *([] if acting else [*dialect.only(naming), *acting_files.rsync_rules()]),
        f"--include-from={wanted}",
        "--exclude=*",
    ]
    return ["rsync", *options, *remote.arguments(), remote.place(source + "/"), destination + "/"]


def give_argv(
    remote: Remote, *, source: str, destination: str, wanted: Path, backup: str
) -> list[str]:
    """Send artifact folders below `source` here to `destination` there; `wanted` lists them.

    What is replaced there goes to `backup`, which is relative to `destination`.
    """
    options = [*OPTIONS, "--safe-links", "--backup", f"--backup-dir={backup}"]
    chosen = [f"--include-from={wanted}", "--exclude=*"]
    ends = [f"./{source}/", remote.place(f"{destination}/")]
    return ["rsync", *options, *chosen, *remote.arguments(), *ends]


def snapshot_argv(
    remote: Remote, source: str, *, destination: Path, declared: Sequence[str] = ()
) -> list[str]:
    """Bring the frozen code of a job, which lies in `source` below the folder of all jobs, without
    links to the target's own folders."""
    shared = [f"--exclude=/{name}" for name in outputs.links(declared)]
    ends = [remote.place(f"{STATE}/jobs/{source}/"), f"{destination}/"]
    return ["rsync", *OPTIONS, *remote.arguments(), *shared, *ends]


def incoming_argv(remote: Remote, *, name: str) -> list[str]:
    """Send code that is to run there once; run in the folder that holds it."""
    return ["rsync", *OPTIONS, *remote.arguments(), "./", remote.place(f"{STATE}/incoming-{name}/")]


def artifact_filters(folders: Iterable[str]) -> str:
    """The content of `wanted`: these folders, the ones above them, and all that is in them.

    `**` is everything.
    """
    lines: dict[str, None] = {}
    for folder in folders:
        if folder == "**":
            return "+ /**\n"
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            lines[f"+ /{'/'.join(parts[:depth])}/"] = None
        lines[f"+ /{folder}/**"] = None
    return "\n".join(lines) + "\n"


def literal(name: str) -> str:
    """A pattern for this name alone; a line break, which ends a rule, is any letter in it."""
    if not re.search(r"[*?[\n\r]", name):
        return name
    return re.sub(r"[\n\r]", "?", re.sub(r"([\\*?[])", r"\\\1", name))


@dataclass
class Tally:
    """What rsync's itemized lines (`-i`) and `--stats` say it did.

    `files` counts all that it compared, folders too; `anything` tells of changes, if only to a time
    or a mode. `problems` are the paths that it couldn't move, `cleared` those that stood
    in the way and went into the backup, `links` those that were named, with where they lead, and
    `left` those that lead out and don't come, `acting` the files that don't since they act by being
    there.
    """

    sent: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    bytes: int = 0
    files: int = 0
    anything: bool = False
    problems: list[Problem] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    acting: list[str] = field(default_factory=list)

    def add(self, other: Tally, folder: str) -> None:
        """Count what another transfer did in `folder`; "." is the same one."""
        above = "" if folder == "." else f"{folder}/"
        self.sent += [above + name for name in other.sent]
        self.replaced += [above + name for name in other.replaced]
        self.deleted += [above + name for name in other.deleted]
        self.problems += other.problems
        self.cleared += other.cleared
        self.left += [above + name for name in other.left]
        self.acting += [above + name for name in other.acting]
        self.bytes += other.bytes

    def then(self, other: Tally) -> Tally:
        """What this transfer and another one of the same files did together."""
        return Tally(
            sent=list(dict.fromkeys(self.sent + other.sent)),
            replaced=list(dict.fromkeys(self.replaced + other.replaced)),
            deleted=self.deleted + other.deleted,
            bytes=self.bytes + other.bytes,
            files=other.files,
            anything=self.anything or other.anything,
            problems=other.problems,
            cleared=self.cleared + other.cleared,
            links=self.links + other.links,
            left=other.left,
            acting=other.acting,
        )

    def read(self, line: str) -> None:
        """Take one line of rsync's output."""
        self.anything |= bool(re.match(r"^(\*deleting|[<>ch.][fdLDS][^ ]{7,9} )", line))
        if re.match(r"[<>ch.]L", line):
            self.links.append(line.split(" ", 1)[-1].lstrip(" "))
        if line.startswith("ignoring unsafe symlink"):
            self.left.append(line[len("ignoring unsafe symlink") :].strip(" :").replace('"', ""))
        hidden = _HIDDEN.match(line)
        if hidden and acting_files.acts(hidden[2], is_folder=hidden[1] == "directory"):
            self.acting.append(hidden[2])
        if line.startswith("*deleting"):
            self.deleted.append(line[len("*deleting") :].strip())
        elif line.startswith("Number of files:"):
            self.files = int(re.sub(r"[,.]", "", line.split(":")[1].split()[0]))
        elif re.match(r"^[<>ch][fL][^ ]{7,9} ", line):
            flags, _, name = line.partition(" ")
            self.sent.append(name)
            if "+++" not in flags:
                self.replaced.append(name)
        elif re.match(r"Total (bytes )?(sent|received):", line):
            self.bytes += int(re.sub(r"\D", "", line.split(":")[1]) or 0)


def complaint(lines: Sequence[str]) -> str:
    """The last of rsync's messages that gives a reason: the line after it repeats the exit code."""
    reasons = [line for line in lines if line.strip() and "rsync error:" not in line]
    return (reasons or list(lines) or ["no message"])[-1].strip()
