"""How the files of a transfer are named, and how its errors are told."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paramiko.ssh_exception import SSHException  # type: ignore[import-untyped]

from remote.transport.ssh import Ssh


@contextlib.contextmanager
def telling(ssh: Ssh, path: Any) -> Iterator[None]:
    """Name the file in errors that lack it; a lost connection is a ConnectError."""
    try:
        yield
    except (EOFError, SSHException, BrokenPipeError, ConnectionResetError) as error:
        raise ssh.failure("the connection was lost during the transfer") from error
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:
            raise OSError(f"{error}: {path!r}") from error
        raise OSError(error.errno, error.strerror, path) from error


def local_template(local: Any) -> Any:
    """Fabric's template for the local file. A name from the server is never read as one."""
    if not local:
        return "{basename}"
    if isinstance(local, Path):
        local = str(local).replace("{", "{{").replace("}", "}}")
    if isinstance(local, str) and Path(local.replace("{{", "{").replace("}}", "}")).is_dir():
        return os.path.join(local, "")
    return local


def is_folder(path: str, advice: str) -> IsADirectoryError:
    """The error for a folder where a file is wanted."""
    return IsADirectoryError(errno.EISDIR, f"It is a folder ({advice})", path)
