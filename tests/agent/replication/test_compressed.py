"""What is compressed in parts is one stream, for any zlib."""

from __future__ import annotations

import random
import threading
import zlib
from pathlib import Path

import pytest

from remote.agent.replication import compressed
from remote.agent.replication.compressed import PART


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 11 * PART + 7])
@pytest.mark.parametrize("repeats", [True, False])
def test_it_is_one_stream(tmp_path: Path, size: int, repeats: bool) -> None:
    chance = random.Random(size)
    data = (
        (chance.randbytes(1000) * (size // 1000 + 1))[:size] if repeats else chance.randbytes(size)
    )
    file = tmp_path / "delta"
    file.write_bytes(data)
    packed = compressed.compressed(file)
    assert zlib.decompress(packed.read_bytes()) == data
    assert not file.exists() and packed.stat().st_mode & 0o777 == 0o600
    assert packed.stat().st_size < (size / 10 if repeats and size > 1 else size * 1.01) + 100


def test_without_another_thread_it_takes_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(compressed._Part, "start", start)
    file = tmp_path / "delta"
    file.write_bytes(b"ab" * 3 * PART)
    assert zlib.decompress(compressed.compressed(file).read_bytes()) == b"ab" * 3 * PART


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_part_that_a_thread_could_not_do_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = compressed._Part.run

    def fail(part: compressed._Part) -> None:
        if threading.current_thread() is part or not is_free:
            raise MemoryError
        run(part)

    monkeypatch.setattr(compressed._Part, "run", fail)
    for is_free in (True, False):
        file = tmp_path / "delta"
        file.write_bytes(b"ab" * PART)
        if not is_free:
            with pytest.raises(MemoryError):
                compressed.compressed(file)
        else:
            assert zlib.decompress(compressed.compressed(file).read_bytes()) == b"ab" * PART


def test_what_comes_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "delta"
    file.write_bytes(bytes(2 * PART))
    packed = bytearray(compressed.compressed(file).read_bytes())
    packed[-1] ^= 1
    with pytest.raises(zlib.error, match="check"):
        zlib.decompress(packed)


def test_few_parts_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = []

    class Counted(compressed._Part):
        def __init__(self, data: bytes) -> None:
            alive.append(self)
            super().__init__(data)

        def blocks(self) -> bytes:
            most.append(len(alive))
            alive.remove(self)
            return super().blocks()

    most: list[int] = []
    monkeypatch.setattr(compressed, "_Part", Counted)
    file = tmp_path / "delta"
    file.write_bytes(bytes(20 * PART))
    compressed.compressed(file)
    assert len(most) == 20 and max(most) == compressed.THREADS and not alive
