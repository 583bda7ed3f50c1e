"""Which artifacts a pull brings, and which it leaves on their server until they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote.agent.unpulled import summary
from remote.config import Project
from remote.errors import ConfigError
from remote.files import shortened
from remote.job.messages.records import ArtifactFolder, ArtifactsRequest
from remote.options import UnitError, mebibytes
from remote.session import TargetSession
from remote.tracking import left_artifacts
from remote.transport.acting_files import acts
from remote.transport.rsync_problems import UNREADABLE, Problem

SETTING = "PULL_ARTIFACTS"

#: MiB of the largest file that is small.
SMALL = 10

#: Letters of what a run's tag tells.
LONGEST = 500


@dataclass(frozen=True)
class Choice:
    """Of folders of artifacts, each by its path on the server: the files that come, all where that is
    None, the bytes of those that are left, and what could not be looked at."""

    chosen: Mapping[str, Sequence[str]] | None = None
    left: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    problems: Sequence[Problem] = ()


def most_bytes(project: Project) -> int | None:
    """What the largest artifact may have that comes, -1 for none at all, None for any; raises
    ConfigError."""
    text = project.settings.get(SETTING, "") or "all"
    words = {"all": None, "small": SMALL << 20, "none": -1}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return mebibytes(text, SETTING) << 20
    except UnitError:
        raise ConfigError(
            f"{SETTING} is all, small, none or a size, not {text!r}.", "Such as 50M or 2G."
        ) from None


def choose(server: TargetSession, folders: Sequence[ArtifactFolder]) -> Choice:
    """What the project's setting has a pull bring of these folders; raises ConfigError."""
    most, root = most_bytes(server.project), server.project.root
    if most is None or not folders:
        return Choice()
    files, problems = files_of(server, folders)
    left = {
        folder.remote: {
            name: size
            for name, size in files[folder.remote].items()
            if size > most and is_missing(root / folder.local, name, size)
        }
        for folder in folders
        # Spans are records: MLflow shows no trace without.
        if folder.local.split("/")[-3] != "traces"
    }
    chosen = {
        folder: [name for name in names if name not in left.get(folder, ())]
        for folder, names in files.items()
    }
    left = {folder: names for folder, names in left.items() if names}
    return Choice(chosen, left, problems)


def files_of(
    server: TargetSession, folders: Sequence[ArtifactFolder]
) -> tuple[dict[str, dict[str, int]], list[Problem]]:
    """The files in each of these folders with their bytes, by the folder's path on the server; and
    what can't be looked at there."""
    files: dict[str, dict[str, int]] = {folder.remote: {} for folder in folders}
    answer = server.agent.call(ArtifactsRequest(key=server.key, paths=tuple(files)))
    for path, size in answer.files.items():
        for match in re.finditer("/artifacts/", path):
            folder = path[: match.end() - 1]
            if folder in files:
                files[folder][path[match.end() :]] = size
                break
    there = str(server.target)
    return files, [Problem(path, why, UNREADABLE, there) for path, why in answer.closed.items()]


def is_missing(folder: Path, name: str, size: int) -> bool:
    """Whether a file of that size isn't here, which no rule keeps on its server."""
    with suppress(OSError):
        return os.lstat(folder / name).st_size != size
    return not acts(name)


@dataclass(frozen=True)
class LeftFiles:
    """What stays on the server of one run, or of models that no run made: the bytes of each file by
    the path that brings it."""

    run: str
    files: Mapping[str, int]


def note(
    store: Path,
    folders: Sequence[ArtifactFolder],
    left: Mapping[str, Mapping[str, int]],
    source: str,
) -> list[LeftFiles]:
    """Have the runs of these folders tell what of them is `left`, or no more that something is."""
    if not left and not left_artifacts.tagged(store):
        return []
    files: dict[str, dict[str, int]] = {}
    owners = left_artifacts.owners(store, (folder.local for folder in folders))
    for folder in folders:
        run = files.setdefault(owners.get(folder.local, ""), {})
        run.update(named(folder, left.get(folder.remote, {})))
    texts = {
        run: f"{shortened(summary(names), LONGEST)} on {source}" if names else ""
        for run, names in files.items()
    }
    left_artifacts.tag(store, texts)
    return [LeftFiles(run, names) for run, names in files.items() if names]


def named(folder: ArtifactFolder, sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Files with the paths that `remote-fetch` knows them by: those of a run's models are below its id."""
    kind, identity = folder.local.split("/")[-3:-1]
    above = f"models/{identity}/" if kind == "models" else ""
    for name, size in sizes.items():
        yield above + name, size
