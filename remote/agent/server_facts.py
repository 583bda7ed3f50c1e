"""What `inv doctor` wants to know of this server: facts only, the client judges them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import stat
import time
from pathlib import Path
from typing import Tuple
from urllib.parse import urlsplit

from remote.agent import environments, processes
from remote.agent.gpus import sources
from remote.agent.launchers import logind
from remote.agent.target_dir import cache, find_uv, first_existing
from remote.errors import JobError
from remote.job.messages.target import ExamineAnswer, ExamineRequest
from remote.job.paths import STORE
from remote.tracking.revisions import StoreSchema, schema_of

#: How long the package index may take to answer, in seconds.
LIMIT = 5.0

TMP = Path("/tmp")
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


def examine(request: ExamineRequest) -> ExamineAnswer:
    """All that matters of this server; the request names where the target lies, or will lie."""
    root = first_existing(Path.home() / os.path.expanduser(request.path))
    uv, user = find_uv(), logind.me()
    index, is_reachable = _index()
    tmp_mode, fault = TMP.stat().st_mode, ""
    schema = _schema(root, request.python)
    try:
        gpus = sources.gpus()
    except JobError as error:
        gpus, fault = [], error.message
    return ExamineAnswer(
        now=time.time(),
        host=platform.node(),
        user=user.pw_name,
        python=platform.python_version(),
        rsync=_version("rsync", "--version"),
        tmux=_version("tmux", "-V"),
        uv=_version(uv, "--version") if uv else "",
        root=str(root),
        writable=os.access(str(root), os.W_OK | os.X_OK),
        free=shutil.disk_usage(str(root)).free,
        home=str(Path.home()),
        home_free=shutil.disk_usage(str(first_existing(cache()))).free,
        index=index,
        index_reachable=is_reachable,
        # Everybody may write there, and nobody remove what is another's.
        tmp_shared=bool(tmp_mode & stat.S_ISVTX) and tmp_mode & 0o007 == 0o007,
        gpus=tuple(gpu.name for gpu in gpus),
        driver=gpus[0].driver if gpus else "",
        gpu_fault=next((gpu.fault for gpu in gpus if gpu.fault), fault),
        logind_kills=logind.in_login(os.getpid()) and logind.kills(user),
        lingers=(logind.LINGER / user.pw_name).exists(),
        mlflow=schema.mlflow,
        revision=schema.revision,
        is_refused=schema.is_refused,
        store_fault=schema.store_fault,
    )


def _schema(root: Path, python: str) -> StoreSchema:
    """That of the target's store, and what the MLflow of its environment knows."""
    try:
        return schema_of(root / STORE, environments.of(root, root, python).python)
    except JobError:
        return schema_of(root / STORE, None)


def _version(program: str, option: str) -> str:
    """What a program says of its version; empty where it isn't there or doesn't run."""
    line = (processes.answer([program, option]) or "").partition("\n")[0]
    found = re.search(r"\d+(\.\d+)+\w*", line)
    return found.group(0) if found else line.strip()


def _index() -> Tuple[str, bool]:
    """The package index, or the proxy on the way to it, and whether it takes connections."""
    url = next((os.environ[name] for name in INDEXES if os.environ.get(name)), "https://pypi.org")
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    asked = proxy or url
    try:
        parts = urlsplit(asked if "://" in asked else f"http://{asked}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host = None
    if not host:
        # uv may be told of another index in its own files; who has set that up knows.
        return "", True
    try:
        socket.create_connection((host, port), timeout=LIMIT).close()
        return host, True
    except OSError:
        return host, False
