"""What a job, and a service, may be asked: one row for each flag of `inv remote-run`, `remote-lab` …"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from remote.errors import JobError
from remote.job.paths import NAME_PATTERN
from remote.job.status import UUID
from remote.options import UnitError, count, mebibytes, option, seconds, several


def pair(text: str, flag: str) -> tuple[str, str]:
    """What KEY=VALUE means; raises JobError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise JobError(f"{flag} takes KEY=VALUE, not {text!r}.")
    return key, value


def words(text: str, flag: str) -> tuple[str, ...]:
    """The words of a text, as a shell reads them; raises JobError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise JobError(f"{flag} {text!r} can't be split into words: {error}.") from None


def variable(text: str, flag: str) -> tuple[str, str]:
    """The same, for a key that can name an environment variable."""
    key, value = pair(text, flag)
    if not NAME_PATTERN.match(key):
        raise JobError(
            f"{flag} {text}: no variable can be called {key!r}.",
            "A name has letters, digits and _, and begins with no digit.",
        )
    return key, value


def gpu_count(text: str, flag: str) -> float:
    """A number of GPUs, or a part of one; raises UnitError."""
    if re.fullmatch(r"0?\.[0-9]{1,3}", text) and float(text) >= 0.01:
        return float(text)
    if "." in text:
        raise UnitError(
            f"{flag} takes a number, or a part of one GPU, not {text!r}.", "Such as 0.5."
        )
    return count(text, flag)


def cards(text: str, flag: str) -> tuple[str, ...]:
    """What `0,3` or UUIDs of GPUs mean; raises JobError."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(map(UUID.fullmatch, words)):
        raise JobError(f"{flag} takes indices or UUIDs of GPUs, not {text!r}.", "Such as 0,3.")
    return words


def joined(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All values of a flag that may come again, each of which is a list."""
    return tuple(itertools.chain.from_iterable(lists))


def sbatch_words() -> Any:
    """The flag of all that can be a job of Slurm's."""
    return option(
        "--sbatch",
        'with Slurm: more arguments of sbatch, such as "-p long --mem=64G"; repeatable',
        parse=words,
        collect=joined,
    )


@dataclass(frozen=True)
class RunOptions:
    """What a job may be asked beside its program; each field is called as in job.json.

    To add a flag: a row here, a field of the same name in `remote.job.spec`, and what heeds it.
    """

    gpus: float | None = option(
        "--gpus",
        "how many GPUs to lease (default: one if the server has any; 0: none; 0.5: half of one,"
        " shared with other jobs of yours)",
        None,
        parse=gpu_count,
    )
    gpu_memory: int = option(
        "--gpus-memory", "lease a GPU with this much free memory, such as 20G", 0, parse=mebibytes
    )
    gpu_model: str = option(
        "--gpus-model", "lease GPUs with this in their name, such as A100, in any case"
    )
    gpu_exclude: tuple[str, ...] = option(
        "--gpus-exclude", "GPUs not to lease, by index or UUID: 0,3", parse=cards, collect=joined
    )
    cpus: int = option(
        "--cpus",
        "without a GPU: how many of the server's CPU slots to take",
        0,
        parse=several,
    )
    after: str = option(
        "--after", "begin when this job has finished: its id, a part of it, or `last`"
    )
    retries: int = option(
        "--retries", "how many times to try again if the code fails", 0, parse=count
    )
    timeout: int = option(
        "--timeout", "stop the code after this time, such as 8h", 0, parse=seconds
    )
    idle: int = option(
        "--idle", "stop it when its GPUs were idle for this time, such as 2h", 0, parse=seconds
    )
    nodes: int = option(
        "--nodes", "with Slurm: how many machines, each with that many GPUs", 0, parse=several
    )
    sbatch: tuple[str, ...] = sbatch_words()
    name: str = option("--name", "the job's name (default: its program's)")
    cwd: str = option(
        "--cwd", "the folder to run in: `notebook` (the program's own), or a folder of the project"
    )
    env: Mapping[str, str] = option(
        "--env",
        "KEY=VALUE, an environment variable of the job; repeatable",
        parse=variable,
        collect=dict,
    )
    tags: Mapping[str, str] = option(
        "--tag", "KEY=VALUE, a tag of its MLflow runs; repeatable", parse=pair, collect=dict
    )
    extras: tuple[str, ...] = option(
        "--extra", "an extra of the lock file for its environment; repeatable", collect=tuple
    )
    record: bool = option(
        "--no-record", "no MLflow run for this job (of nvidia-smi, for example)", True
    )
    notify: str = option(
        "--notify", "a shell command to run on the server when the job has ended (REMOTE_NOTIFY)"
    )

    def __post_init__(self) -> None:
        for what, value in (
            ("--gpus-memory asks for", self.gpu_memory),
            ("--gpus-model asks for", self.gpu_model),
            ("--idle looks at", self.idle),
        ):
            if value and self.gpus == 0:
                raise JobError(f"{what} a GPU, and --gpus 0 means none.", "Leave one of them out.")
        if self.gpu_memory and self.leased["gpu_share"] < 1:
            raise JobError(
                "A part of a GPU has a part of its memory: --gpus-memory can't be added."
            )

    @property
    def leased(self) -> dict[str, Any]:
        """How many GPUs, and how much of one, as job.json has it."""
        is_part = self.gpus is not None and 0 < self.gpus < 1
        return {"gpus": 1 if is_part else self.gpus, "gpu_share": self.gpus if is_part else 1.0}

    def completed(self, settings: Mapping[str, str]) -> RunOptions:
        """The same, with what the project's settings and the other flags imply."""
        asks = bool(self.gpu_memory or self.gpu_model)
        gpus = 1 if asks and self.gpus is None else self.gpus
        return replace(self, gpus=gpus, notify=self.notify or settings.get("REMOTE_NOTIFY", ""))


def port_number(text: str, flag: str) -> int:
    """A port of this machine; raises UnitError."""
    port = count(text, flag)
    if not 0 < port < 65536:
        raise UnitError(f"{flag} takes a number from 1 to 65535, not {port}.")
    return port


def folder_there(text: str, flag: str) -> str:
    """A folder that JupyterLab is to show: below the target's root, or absolute."""
    folder = os.path.normpath(text)
    if folder == ".." or folder.startswith("../") or "\0" in folder:
        raise JobError(
            f"{text!r} is outside of the target.", "Type its absolute path on the server: /..."
        )
    return folder


@dataclass(frozen=True)
class StartOptions:
    """The flags of all that goes on until it is ended. `place` is where it looks unless told."""

    place: ClassVar[Mapping[str, str]] = {}

    background: bool = option("--background", "start it without opening it", False)
    stop: bool = option("--stop", "stop it", False)

    def __post_init__(self) -> None:
        if self.stop and self.background:
            raise JobError("--stop can't be combined with other flags.")

    @property
    def said(self) -> dict[str, str]:
        """Where it is to look, as far as that was typed."""
        return {name: getattr(self, name) for name in self.place if getattr(self, name)}

    @property
    def asked(self) -> RunOptions:
        """What is asked of its job."""
        return RunOptions()


@dataclass(frozen=True)
class ServiceOptions(StartOptions):
    """The flags of all services with a page, which is reached by a tunnel."""

    port: int = option(
        "--port",
        "the local port (default: the same each time, if it is free)",
        0,
        parse=port_number,
    )
    no_browser: bool = option("--no-browser", "only print the address", False)

    def __post_init__(self) -> None:
        if self.stop and (self.background or self.no_browser):
            raise JobError("--stop can't be combined with other flags.")


def _asked_of(service: ShellOptions | LabOptions) -> RunOptions:
    return RunOptions(
        gpus=service.gpus,
        timeout=service.timeout,
        idle=service.idle,
        extras=service.extras,
        sbatch=service.sbatch,
    )


@dataclass(frozen=True)
class ShellOptions(StartOptions):
    """The flags of `remote-shell`."""

    gpus: float | None = option(
        "--gpus", "how many GPUs to lease until it ends (default: none)", None, parse=gpu_count
    )
    extras: tuple[str, ...] = option(
        "--extra", "an extra of the lock file for its environment; repeatable", collect=tuple
    )
    timeout: int = option("--timeout", "stop it after this time, such as 8h", 0, parse=seconds)
    idle: int = option(
        "--idle", "stop it when its GPUs were idle for this time, such as 2h", 0, parse=seconds
    )
    sbatch: tuple[str, ...] = sbatch_words()

    @property
    def asked(self) -> RunOptions:
        """What is asked of its job."""
        return _asked_of(self)


@dataclass(frozen=True)
class LabOptions(ServiceOptions):
    """The flags of `remote-lab`."""

    # Where new notebooks are a job's own: no push touches them, each pull brings them.
    place = {"folder": "data/results/lab"}

    folder: str = option(
        "--folder",
        f"the folder to open (default: {place['folder']}); of /... nothing else is shown",
        parse=folder_there,
    )
    extras: tuple[str, ...] = option(
        "--extra", "another extra of the lock file, such as torch; repeatable", collect=tuple
    )
    gpus: float | None = option(
        "--gpus",
        "how many GPUs to lease while it runs (default: none; 0.5: half of one)",
        None,
        parse=gpu_count,
    )
    timeout: int = option("--timeout", "stop it after this time, such as 8h", 0, parse=seconds)
    idle: int = option(
        "--idle", "stop it when its GPUs were idle for this time, such as 2h", 0, parse=seconds
    )
    sbatch: tuple[str, ...] = sbatch_words()
    bring: bool = option(
        "--bring", "copy the project's files that were saved in it to this machine", False
    )

    @property
    def asked(self) -> RunOptions:
        """What is asked of its job."""
        return _asked_of(self)


@dataclass(frozen=True)
class TensorboardOptions(ServiceOptions):
    """The flags of `remote-tensorboard`."""

    place = {"logdir": "logs"}

    logdir: str = option("--logdir", f"a folder of the target (default: {place['logdir']})")
    sbatch: tuple[str, ...] = sbatch_words()

    @property
    def asked(self) -> RunOptions:
        """What is asked of its job."""
        return RunOptions(sbatch=self.sbatch)
