"""The flags of `inv remote-run` that a job is asked with: one row for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from remote.errors import JobError
from remote.job.paths import NAME_PATTERN
from remote.options import count, mebibytes, option, seconds


def pair(text: str, flag: str) -> tuple[str, str]:
    """What KEY=VALUE means; raises JobError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise JobError(f"{flag} takes KEY=VALUE, not {text!r}.")
    return key, value


def variable(text: str, flag: str) -> tuple[str, str]:
    """The same, for a key that can name an environment variable."""
    key, value = pair(text, flag)
    if not NAME_PATTERN.match(key):
        raise JobError(f"{flag} takes KEY=VALUE, not {text!r}.")
    return key, value


@dataclass(frozen=True)
class RunOptions:
    """What a job may be asked beside its program; each field is called as in job.json.

    To add a flag: a row here, a field of the same name in `remote.job.spec`, and what heeds it.
    """

    gpus: int | None = option(
        "--gpus",
        "how many GPUs to lease (default: one where the server has any; 0: none)",
        None,
        parse=count,
    )
    gpu_memory: int = option(
        "--gpus-memory", "lease a GPU with that much memory free, such as 20G", 0, parse=mebibytes
    )
    after: str = option(
        "--after", "begin when this job has finished: its id, a part of it, or `last`"
    )
    retries: int = option("--retries", "try again that often where the code fails", 0, parse=count)
    timeout: int = option("--timeout", "end the code after this time, such as 8h", 0, parse=seconds)
    name: str = option("--name", "what the job is called (default: like its program)")
    env: Mapping[str, str] = option(
        "--env",
        "KEY=VALUE, an environment variable of the job; may come again",
        parse=variable,
        collect=dict,
    )
    tags: Mapping[str, str] = option(
        "--tag", "KEY=VALUE, a tag of its MLflow runs; may come again", parse=pair, collect=dict
    )
    extras: tuple[str, ...] = option(
        "--extra", "an extra of the lock file for its environment; may come again", collect=tuple
    )
    notify: str = option(
        "--notify", "a shell command to run on the server when the job has ended (REMOTE_NOTIFY)"
    )

    def __post_init__(self) -> None:
        if self.gpu_memory and self.gpus == 0:
            raise JobError("--gpus-memory asks for a GPU, and --gpus 0 for none.")

    def completed(self, settings: Mapping[str, str]) -> RunOptions:
        """The same, with what the project's settings and the other flags imply."""
        gpus = 1 if self.gpu_memory and self.gpus is None else self.gpus
        return replace(self, gpus=gpus, notify=self.notify or settings.get("REMOTE_NOTIFY", ""))
