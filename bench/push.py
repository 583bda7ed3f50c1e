"""A push with nothing to send, against plain rsync over a cold ssh."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from bench.delay import delaying, quality
from bench.report import Row
from bench.stage import INV, Failed, Stage, hang_up, make_project, run, timed
from bench.turns import Pairs, alternate
from scripts.sshd import ALIAS, PrivateSshd

FOLDERS = 100
FILES = 10_000

#: Milliseconds each way, and the bar.
WAYS = {25.0: 0.5, 100.0: 0.45}

OURS, THEIRS = "ours", "theirs"


def measure(stage: Stage) -> Iterator[Row]:
    """On loopback, and with a longer way."""
    files = stage.size(FILES)
    project = make_tree(stage.folder / "push" / "project", files)
    what = f"nothing to send of {files} small files in {FOLDERS} folders; inv sync-push over a"
    what += " warm connection / rsync -az --exclude-from=.rsyncignore over a cold ssh"
    with stage.server("push") as server:
        pairs = _pairs(stage, server, server.config, project)
        yield Row("push", f"{what}; loopback", 1.15, pairs)
        for one_way, bar in WAYS.items():
            config = stage.folder / "push" / f"config-{one_way:.0f}"
            with longer_way(server, config, one_way) as far:
                pairs = _pairs(stage, server, far, project)
            yield Row(f"push +{2 * one_way:.0f} ms", f"{what}; {_proxy_line(one_way)}", bar, pairs)


def make_tree(root: Path, files: int) -> Path:
    """A project with so many small modules."""
    make_project(root)
    for number in range(files):
        path = root / "src" / f"package_{number % FOLDERS:02}" / f"module_{number:05}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUES = {list(range(number % 97))}\n")
    return root


def _pairs(stage: Stage, server: PrivateSshd, config: Path, project: Path) -> Pairs:
    env = {"TARGET_DIR": f"{ALIAS}:{OURS}", "REMOTE_SSH_CONFIG": str(config)}
    rsync = ["rsync", "-az", "--exclude-from=.rsyncignore", "-e", f"ssh -F {quoted(config)}"]
    rsync += ["./", f"{ALIAS}:{THEIRS}/"]
    # The first of each sends everything, and opens our connection.
    run([INV, "sync-push"], cwd=project, env=env)
    run(rsync, cwd=project)
    _require_same(project, server.home)
    return alternate(
        lambda: timed([INV, "sync-push"], cwd=project, env=env, expect=": 0 files"),
        lambda: timed(rsync, cwd=project),
        runs=stage.trials(9),
    )


def quoted(path: Path) -> str:
    """rsync splits `-e` at blanks and knows quotes."""
    text = str(path)
    return text if text == shlex.quote(text) else "'" + text.replace("'", "''") + "'"


def _require_same(project: Path, home: Path) -> None:
    wanted = sum(1 for _ in project.rglob("*.py"))
    for name in (OURS, THEIRS):
        found = sum(1 for _ in (home / name).rglob("*.py"))
        if found != wanted:
            raise Failed(f"{found} of {wanted} modules arrived in {name}")


@contextlib.contextmanager
def longer_way(server: PrivateSshd, config: Path, one_way: float) -> Iterator[Path]:
    """An ssh_config that reaches `server` through a delaying proxy."""
    with delaying(server.port, one_way) as port:
        config.write_text(
            f"Host {ALIAS}\n  Port {port}\n  HostKeyAlias [127.0.0.1]:{server.port}\n"
            f'Include "{server.config}"\n'
        )
        try:
            yield config
        finally:
            hang_up(config)


def _proxy_line(one_way: float) -> str:
    """The proxy, measured alone: it delays, and must not throttle."""
    near, far = quality(0), quality(one_way)
    added = (far.round_trip - near.round_trip) * 1000
    return (
        f"through a proxy that adds {added:.1f} ms of round trip"
        f" and passes {far.rate / 1e6:.0f} MB/s ({near.rate / 1e6:.0f} MB/s without the delay)"
    )
