"""Whoever serves a command is killed in a random moment; the same command again puts it right.

A round is its seed: `make test-faults ARGS="--rounds 1 --seed 4711"` plays one again.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, find, running
from tests.conftest import SOCKET, UV_CACHE
from tests.faults.attacks import ATTACKS
from tests.faults.kills import Blow, World

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="victims are found in /proc"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first, rounds = metafunc.config.option.seed, metafunc.config.option.rounds
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(first, first + rounds))


class Worlds:
    """The world of one round after the other: a new one after each that broke."""

    def __init__(self, folder: Path, server: PrivateSshd) -> None:
        self.folder, self.server, self.number = folder, server, 0
        self.world: World | None = None

    def current(self) -> World:
        if self.world is None:
            self.number += 1
            shutil.rmtree(self.server.home, ignore_errors=True)
            self.server.home.mkdir(parents=True)
            folder = self.folder / f"world {self.number}"
            self.world = World(folder, self.server, f"{SOCKET}-kills")
        return self.world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    try:
        find()
    except FileNotFoundError:
        pytest.skip("sshd is not installed: sudo apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("kills")
    settings = {"UV_CACHE_DIR": str(UV_CACHE)}
    settings.update({name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ})
    with running(PrivateSshd(folder / "sshd", folder / "home there", settings=settings)) as server:
        yield Worlds(folder, server)
        subprocess.run(["tmux", "-L", f"{SOCKET}-kills", "kill-server"], capture_output=True)


def test_the_same_command_again_ends_as_if_nobody_had_been_killed(
    worlds: Worlds, seed: int
) -> None:
    world, chance = worlds.current(), random.Random(seed)
    # Forgotten until the round has ended well.
    worlds.world = None
    with world.services:
        play(world, chance, seed)
    worlds.world = world


def play(world: World, chance: random.Random, seed: int) -> None:
    attack = ATTACKS[seed % len(ATTACKS)](world, chance, f"{seed:08x}")
    blow = Blow.draw(chance, attack.victims, attack.seconds)
    done = world.struck(blow, *attack.words)
    is_hit = "killed" if done.struck else "missed"
    print(f"\nseed {seed}: inv {attack.words[0]}, {blow}: {is_hit}")
    print(f"it ended with {done.code}: {done.text}")
    if attack.again(done):
        print(f"again: {world.run(*attack.words).text}")
    attack.check()
    assert world.leftovers() == []
