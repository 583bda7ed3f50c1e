"""A Docker engine for the tests: the one that answers, else a private one, else a reason to skip.

The private one harms no other: it has a socket, a data-root and a mount namespace of its own, the
name of its base image is its own too, and it makes no rule of iptables, for it needs none: a bridge
joins the containers, docker-proxy publishes on loopback, and images are built in the host's network.
Kept between runs of the tests (below .demo) are its base image, its layers, and compose.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remote.files import locked, write_json
from tests.conftest import ROOT

FOLDER = ROOT / ".demo" / "docker"
#: Sockets have short paths; who else may come in here is root.
RUN = Path(tempfile.gettempdir()) / f"test-engine-{hashlib.sha256(bytes(ROOT)).hexdigest()[:8]}"
PROGRAMS = ("dockerd", "docker", "mmdebstrap", "unshare", "setpriv", "apt-get", "dpkg")
BASE = "test-base:1"
PACKAGES = "ca-certificates,python3,python3-pip"
IMAGE = "python:3.11-slim"
LIMIT = 60.0  # seconds until the engine answers
BUILD = 600.0  # seconds for making the base image, or fetching one

#: Indexes of packages that are set for this machine are the images' too.
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
#: An engine lets GPUs be asked for if this program is in its path at the start.
HOOK = "nvidia-container-runtime-hook"


class Missing(Exception):
    """No engine can be had here, and why."""


@dataclass(frozen=True)
class Engine:
    """What a shell needs to have the engine, as `docker` and `make lab-up` read it."""

    env: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def docker(self, *words: str, check: bool = True, limit: float = 120.0) -> str:
        """What the command printed."""
        done = subprocess.run(
            ["docker", *words],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        if check and done.returncode:
            raise Missing(f"docker {words[0]}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    @property
    def answers(self) -> bool:
        return shutil.which("docker") is not None and bool(
            self.docker("info", "--format", "{{.ServerVersion}}", check=False)
        )


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with compose and a base image; skips where none can be had."""
    try:
        with running() as found:
            yield found
    except Missing as reason:
        pytest.skip(f"no Docker engine: {reason}")


@pytest.fixture(scope="session")
def compose() -> dict[str, str]:
    """The environment in which `docker compose` works, which needs no engine; skips without one."""
    try:
        return with_compose({})
    except Missing as reason:
        pytest.skip(f"no docker compose: {reason}")


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Whatever engine can be had; raises Missing."""
    theirs = Engine(with_compose({}))
    if theirs.answers:
        theirs.docker("pull", "-q", IMAGE, limit=BUILD)
        yield theirs
        return
    _check_programs()
    with _shared() as ours:
        yield ours


def with_compose(env: dict[str, str]) -> dict[str, str]:
    """`env`, and where need be a place where docker finds the compose plugin; raises Missing."""
    if not shutil.which("docker"):
        raise Missing("docker is not installed: sudo apt-get install docker.io")
    if Engine(env).docker("compose", "version", check=False):
        return env
    own = FOLDER / "config"
    with locked(FOLDER / "compose.lock"):
        if not (own / "cli-plugins" / "docker-compose").is_file():
            _fetch_compose(own / "cli-plugins")
    return {**env, "DOCKER_CONFIG": str(own)}


# The private engine -------------------------------------------------------------------------------


def _check_programs() -> None:
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        raise Missing(f"none answers, and {', '.join(missing)} isn't here to start one")
    if os.getuid():
        raise Missing("none answers, and only root can start one")


@contextlib.contextmanager
def _shared() -> Iterator[Engine]:
    """One engine for all processes that test; who started it ends it when the others are done."""
    env = with_compose({"DOCKER_HOST": f"unix://{RUN}/docker.sock", "BASE_IMAGE": BASE})
    found = Engine({**env, "LAB_BUILD_NETWORK": "host"}, private=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "users.lock", "a") as users:
        with locked(FOLDER / "start.lock"):
            process = None if found.answers else _start(found)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            _import_base(found)
            yield found
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if process:
                with locked(FOLDER / "start.lock"):
                    fcntl.flock(users, fcntl.LOCK_EX)
                    _stop(found, process)


def _start(engine: Engine) -> subprocess.Popen[bytes]:
    """The engine ends with this process, however that ends."""
    for old in (RUN, *(each for each in FOLDER.glob("root-*") if each != _root())):
        shutil.rmtree(old, ignore_errors=True)
    (RUN / "bin").mkdir(parents=True, mode=0o700)
    (RUN / "bin" / HOOK).write_text("#!/bin/sh\n")
    (RUN / "bin" / HOOK).chmod(0o755)
    write_json(RUN / "daemon.json", _settings())
    path = f"{RUN / 'bin'}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    apart = ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "TERM"]
    with open(RUN / "log", "wb") as log:
        process = subprocess.Popen(
            [*apart, "dockerd", "--config-file", str(RUN / "daemon.json")],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + LIMIT
    while not engine.answers:
        if process.poll() is not None or time.monotonic() > end:
            process.terminate()
            said = (RUN / "log").read_text("utf-8", "replace").strip().splitlines()
            raise Missing(f"dockerd does not start: {said[-1] if said else 'no message'}")
        time.sleep(0.1)
    return process


def _settings() -> dict[str, object]:
    return {
        "data-root": str(_root()),
        "exec-root": str(RUN / "exec"),
        "pidfile": str(RUN / "pid"),
        "hosts": [f"unix://{RUN}/docker.sock"],
        "bridge": "none",
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
    }


def _stop(engine: Engine, process: subprocess.Popen[bytes]) -> None:
    left = engine.docker("ps", "-aq", check=False).split()
    if left:
        engine.docker("rm", "-f", *left, check=False)
    engine.docker("network", "prune", "-f", check=False)
    engine.docker("image", "prune", "-f", check=False)
    process.terminate()
    process.wait(LIMIT)
    shutil.rmtree(RUN, ignore_errors=True)


def _root() -> Path:
    """Layers are kept for as long as what they are made from stays the same."""
    made_from = [*ROOT.glob("requirements*.lock"), *(ROOT / "containers").glob("[Di]*")]
    total = hashlib.sha256()
    for path in sorted(made_from):
        total.update(path.read_bytes())
    return FOLDER / f"root-{total.hexdigest()[:12]}"


# What it stands on --------------------------------------------------------------------------------


def _import_base(engine: Engine) -> None:
    """A stand-in for python:3.11-slim, made from the packages of this machine's own system."""
    with locked(FOLDER / "base.lock"):
        if engine.docker("images", "-q", BASE):
            return
        base = FOLDER / "base.tar"
        if not base.is_file():
            _make_base(base)
        changes = [f"ENV {name}={os.environ[name]}" for name in INDEXES if name in os.environ]
        words = [word for change in changes for word in ("--change", change)]
        engine.docker("import", *words, str(base), BASE, limit=BUILD)


def _make_base(base: Path) -> None:
    """Half a minute of work, and 60 MB of packages."""
    own = [Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf")]
    copies = [f"copy-in {path} {path.parent}" for path in own if path.is_file()]
    new = base.with_suffix(".new.tar")
    argv = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--quiet"]
    argv += [f"--customize-hook={copy}" for copy in copies]
    argv += ["--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*"]
    _run([*argv, _suite(), str(new), _mirror()], base.parent)
    os.replace(new, base)


def _fetch_compose(plugins: Path) -> None:
    """Debian 12 has only the old docker-compose; the next Debian's is one static program."""
    if not shutil.which("apt-get"):
        raise Missing("docker has no compose plugin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("lists/partial", "cache/archives/partial"):
            (folder / each).mkdir(parents=True)
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "list").write_text(f"deb [signed-by={key}] {_mirror()} trixie main\n")
        places = {"Etc::sourcelist": "list", "State::Lists": "lists", "Cache": "cache"}
        words = [f"-oDir::{key}={folder / place}" for key, place in places.items()]
        apt = ["apt-get", "-qq", "-oDir::Etc::sourceparts=-", *words]
        _run([*apt, "update"], folder)
        _run([*apt, "download", "docker-compose"], folder)
        _run(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(folder / "x")], folder)
        found = next(folder.glob("x/usr/lib*/docker/cli-plugins/docker-compose"))
        plugins.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, plugins / "docker-compose")


def _suite() -> str:
    text = Path("/etc/os-release").read_text()
    return next(
        line.partition("=")[2] for line in text.splitlines() if line.startswith("VERSION_CODENAME=")
    )


def _mirror() -> str:
    """Where this machine's own packages come from."""
    words = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"]
    lines = _run([*words, "Created-By: Packages"], Path("/")).splitlines()
    found = dict(reversed([line.split(" ", 1) for line in lines]))
    if _suite() not in found:
        raise Missing("apt-get knows no mirror of this system")
    return str(found[_suite()])


def _run(argv: list[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=BUILD)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Missing(f"{argv[0]}: {said}")
    return done.stdout
