"""VS Code, which is installed here, opened on a folder of a target by its own Remote-SSH."""

from __future__ import annotations

import shutil
from pathlib import Path

from remote.errors import JobError
from remote.job.messages.old_jobs import AccountRequest
from remote.job.paths import JobPaths
from remote.output import say
from remote.session import TargetSession
from remote.transport import process

#: What VS Code has installed on the PATH.
PROGRAM = "code"


def open_code(server: TargetSession, job: str) -> None:
    """Open what a job runs in; without one, the target's own tree. Raises JobError where VS Code
    isn't here, or fails."""
    program = shutil.which(PROGRAM)
    folder = _folder(server, job)
    if program is None:
        raise JobError(
            f"VS Code's `{PROGRAM}` is not on the PATH of this machine.",
            "In VS Code: Shell Command: Install 'code' command in PATH. Or open this folder by hand: "
            + " ".join(_words(server, folder)),
        )
    result = process.run([program, *_words(server, folder)])
    if result.code:
        raise JobError(
            f"VS Code could not be opened: {result.complaint}",
            f"Open there by hand: {folder}",
        )
    if server.project.settings.get("REMOTE_SSH_CONFIG"):
        say("VS Code reads ~/.ssh/config, and not REMOTE_SSH_CONFIG.")


def _folder(server: TargetSession, job: str) -> str:
    if not job:
        root = server.facts.root
        if not root:
            raise JobError(
                f"{server.target} was not pushed to from this machine yet.",
                "Push first: make sync-push",
            )
    else:
        account = server.agent.call(AccountRequest(key=server.key, job=job))
        root = str(JobPaths(Path(account.job.root), account.job.id).code)
    if not root.startswith("/") or not root.isprintable():
        raise JobError(f"{server.target} names no folder that can be opened: {root!r}.")
    return root


def _words(server: TargetSession, folder: str) -> list[str]:
    """VS Code's own: code.visualstudio.com/docs/remote/troubleshooting, "Connect from the terminal"."""
    remote = [] if server.ssh is None else ["--remote", f"ssh-remote+{server.target.login}"]
    return [*remote, folder]
