"""Fixtures: a home, a project and a server of the tests' own. No test reaches the real ones."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from remote import next_steps  # noqa: E402
from remote.job.paths import CACHE  # noqa: E402
from scripts.sshd import PrivateSshd, find, running  # noqa: E402
from tests import warm_inv  # noqa: E402
from tests.lab import Lab, lab_in  # noqa: E402
from tests.stores import empty_store  # noqa: E402

# With it, each Python that a test starts would compile all that it imports: seconds, for MLflow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what runs in its background deaf to Ctrl-C, which every child would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

INV = Path(sys.executable).with_name("inv")

#: uv's downloads, kept between runs so that environments are made from what is there.
UV_CACHE = ROOT / ".demo" / "uv-cache"

#: Wheels that uv finds beside the index: a torch without CUDA, where there is one.
WHEELS = ROOT / ".demo" / "wheels"
WHEELS.mkdir(parents=True, exist_ok=True)

#: MLflow's empty stores, which it takes seconds to make.
STORES = ROOT / ".demo" / "stores"

#: matplotlib looks at every font once for each home.
FONTS = ROOT / ".demo" / "matplotlib"

#: Files of tests that take a minute or more, the longest first: they are begun before all others. On a
#: new machine minutes go by until the first of research/ has made its environment, which the rest of it
#: and as_plainly wait for: the others stand between.
LONG = (
    "research/test_hydra.py",
    "tracking/merge/test_histories.py",
    "integration/test_push_runs.py",
    "research/test_containers.py",
    "integration/test_docs.py",
    "integration/test_jobs.py",
    "runtime/test_optuna_study.py",
    "integration/test_living.py",
    "integration/test_as_plainly.py",
    "research/test_pipeline.py",
    "research/test_save_mlflow_lab.py",
    "research/test_lab.py",
    "research/test_task_runs.py",
    "research/test_pipeline_job.py",
    "real/test_minors.py",
    "integration/test_queue.py",
    "integration/test_sweep.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often somebody is killed, and how (tests/faults/test_random_kills.py); whether the words of
    errors are written anew (tests/integration/test_told_errors.py)."""
    parser.addoption("--rewrite-errors", action="store_true", help="write errors.txt anew")
    parser.addoption("--rounds", type=int, default=5, help="rounds of random kills")
    parser.addoption("--seed", type=int, default=0, help="the first round's seed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Four processes where there are fewer cores: many tests wait for others. Six took as long on two
    cores, with more of each test's time spent on the others' imports."""
    return max(4, os.cpu_count() or 1)


#: Marks by folder or file (see "markers" in pyproject.toml). What has none of them is `fast`.
MARKS = {
    "mlflow": (
        "agent/replication/",
        "agent/test_services.py",
        "agent/tracking/",
        "operations/test_diary.py",
        "operations/test_pool_transfers.py",
        "operations/tracking/test_check_store.py",
        "operations/tracking/test_export_records.py",
        "operations/tracking/test_merge_records.py",
        "operations/tracking/test_pull_records.py",
        "operations/tracking/test_push_runs.py",
        "operations/tracking/test_select_runs.py",
        "operations/tracking/test_sweep_runs.py",
        "real/",
        "runtime/",
        "security/test_hostile_stores.py",
        "tasks/test_check.py",
        "tasks/test_records.py",
        "tracking/",
    ),
    "slow": (
        "agent/environments/test_make_once.py",
        "agent/gpus/test_many_jobs.py",
        "agent/gpus/test_queue.py",
        "faults/",
        "gpu/",
        "integration/",
        "research/",
        "scripts/site/test_build.py",
        "slurm/",
    ),
}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Half of the time would go by looking for what could be freed among modules that all stay."""
    gc.disable()
    done = yield
    gc.freeze()
    gc.enable()
    return done


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast`, what isn't is not even imported: some files import MLflow."""
    name = _name(collection_path)
    fast_only = config.option.markexpr == "fast" and collection_path.suffix == ".py"
    return True if fast_only and _marks(name) != ["fast"] else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)
    for item in items:
        if "sshd" in getattr(item, "fixturenames", ()):
            item.add_marker("server")
        # A single test may say so itself.
        own = {mark.name for mark in item.iter_markers()} & {"mlflow", "server", "slow"}
        for mark in _marks(_name(item.path)):
            if mark != "fast" or not own:
                item.add_marker(mark)


def _marks(name: str) -> list[str]:
    return [mark for mark, names in MARKS.items() if name.startswith(names)] or ["fast"]


def _rank(item: pytest.Item) -> int:
    name = _name(item.path)
    return LONG.index(name) if name in LONG else len(LONG)


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "tests").as_posix()


#: The user's settings; and MLflow notes in the environment what a test of before has chosen.
SETTINGS = ("TARGET_DIR", "REMOTE_", "MLFLOW_", "PULL_", "MAKE", "ARGS", "SSH_", "XDG_", "TMUX")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture, also those of a module or of the session."""
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            del os.environ[name]
    # It notes that in the process, too.
    fluent = sys.modules.get("mlflow.tracking.fluent")
    if fluent is not None:
        fluent._active_experiment_id = None  # type: ignore[attr-defined]
    # A process is one command's: the target that a test's command was told isn't the next one's.
    next_steps.name_target("")
    # One process serves a test's `mlflow ui` as well as four.
    os.environ["MLFLOW_WORKERS"] = "1"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty MLflow store, to be copied."""
    return empty_store(tmp_path_factory.mktemp("template")).parent


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and none of the user's settings."""
    for name, value in new_home(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


def new_home(home: Path) -> dict[str, str]:
    """The variables of who lives in a new folder."""
    home.mkdir()
    return {
        "HOME": str(home),
        "UV_CACHE_DIR": str(UV_CACHE),
        "MPLCONFIGDIR": str(FONTS),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def share_stores(home: Path) -> None:
    """Have an account keep the empty stores that all tests share: MLflow takes seconds to make one."""
    stores = home / CACHE / "stores"
    stores.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    STORES.mkdir(exist_ok=True)
    if not stores.is_symlink():
        stores.symlink_to(STORES)


@dataclass
class Command:
    """What a finished `inv` said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class ProjectFolder:
    """A small project of the test's own, and `inv` in it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def inv(self, *words: str, check: bool = True, **env: str) -> Command:
        """Run `inv` as its user would; fails the test on a non-zero exit unless told not to."""
        command = self._finished(*words, **env)
        if check and command.code:
            pytest.fail(f"inv {words} ended with {command.code}:\n{command.text}")
        return command

    def _finished(self, *words: str, **env: str) -> Command:
        """`inv`, by a Python that is there already where that makes no difference."""
        variables = {**os.environ, **self.env, **env}
        if warm_inv.can_become(variables):
            return Command(*warm_inv.run([str(INV), *words], self.root, variables))
        done = self.start(*words, **env)
        out, err = done.communicate(timeout=240)
        return Command(done.returncode, out, err)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """`inv`, started."""
        return subprocess.Popen(
            [str(INV), *words],
            cwd=self.root,
            env={**os.environ, **self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make(self, *words: str, **env: str) -> Command:
        """Run `make`; fails the test on a non-zero exit."""
        done = self.run_make(*words, **env)
        assert done.code == 0, done.text
        return done

    def run_make(self, *words: str, **env: str) -> Command:
        """Run `make` with the environment that the tests run in."""
        tools = [f"INV={INV}", f"PYTHON={sys.executable}"]
        done = subprocess.run(
            ["make", "-s", *tools, *words],
            cwd=self.root,
            env={**os.environ, **self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return Command(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


TEMPLATE = (
    "tasks.py",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
    ".rsyncignore",
)


def make_project(root: Path, **env: str) -> ProjectFolder:
    """A project with the template's tasks and lock file."""
    root.mkdir(parents=True)
    for name in TEMPLATE:
        shutil.copy(ROOT / name, root / name)
    (root / ".venv").mkdir()
    (root / ".venv/.ready").touch()
    (root / "src" / "notebooks").mkdir(parents=True)
    (root / "data" / "raw").mkdir(parents=True)
    return ProjectFolder(root, dict(env))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    """The GPU server: one private sshd for the whole session."""
    try:
        find()
    except FileNotFoundError:
        pytest.skip("sshd is not installed: sudo apt-get install openssh-server")
    if not shutil.which("rsync") or not shutil.which("tmux"):
        pytest.skip("rsync or tmux is not installed: sudo apt-get install rsync tmux")
    folder = tmp_path_factory.mktemp("sshd")
    settings = {
        "UV_CACHE_DIR": str(UV_CACHE),
        "UV_FIND_LINKS": str(WHEELS),
        "MPLCONFIGDIR": str(FONTS),
        "OMP_NUM_THREADS": "1",
    }
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if name in os.environ:
            settings[name] = os.environ[name]
    server = PrivateSshd(folder, folder / "server's home", settings=settings)
    share_stores(server.home)
    with running(server):
        yield server
        _end_tmux(server)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, sshd: PrivateSshd) -> Iterator[Lab]:
    """Two more servers, with GPUs, and a third that takes connections and says nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with lab_in(folder, **sshd.settings) as made:
        for server in made.servers.values():
            share_stores(server.home)
        yield made


SOCKET = f"remote-test-{os.getpid()}"


def _end_tmux(server: PrivateSshd) -> None:
    subprocess.run(["tmux", "-L", SOCKET, "kill-server"], capture_output=True)


@pytest.fixture
def project(tmp_path: Path, sshd: PrivateSshd, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A project whose target is a new folder on the private server."""
    name = f"target-{abs(hash(request.node.nodeid)):x}"
    made = make_project(
        tmp_path / "project",
        TARGET_DIR=f"gpu:{name}",
        REMOTE_SSH_CONFIG=str(sshd.config),
        REMOTE_TMUX_SOCKET=SOCKET,
    )
    # Each first pull of a project would ask MLflow for one.
    empty_store(made.root)
    yield made


@pytest.fixture
def target_root(project: ProjectFolder, sshd: PrivateSshd) -> Path:
    """Where the project's target lies, seen from this machine."""
    return sshd.home / project.env["TARGET_DIR"].partition(":")[2]


@pytest.fixture(scope="session")
def shared_project(tmp_path_factory: pytest.TempPathFactory, sshd: PrivateSshd) -> ProjectFolder:
    """One project and target for tests that run jobs: the environment is made once."""
    made = make_project(
        tmp_path_factory.mktemp("shared") / "project",
        TARGET_DIR="gpu:shared target",
        REMOTE_SSH_CONFIG=str(sshd.config),
        REMOTE_TMUX_SOCKET=SOCKET,
    )
    empty_store(made.root)
    return made


@pytest.fixture(scope="session")
def shared_root(sshd: PrivateSshd) -> Path:
    """Where the shared target lies, seen from this machine."""
    return sshd.home / "shared target"
