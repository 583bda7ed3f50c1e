"""The first lines of the agent's zip: unpacked once, for all later starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from remote.agent_main import unpacked
from remote.rpc import bundle
from remote.rpc.wire import UNPACKED


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "it's a cache" / "agent-1.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("__main__.py", "print('agent')\n")
        file.writestr("remote/__init__.py", "")
    return path


def beside(archive: Path) -> list[str]:
    return sorted(os.listdir(archive.parent))


def test_its_content_is_a_folder_beside_the_zip(archive: Path) -> None:
    folder = Path(unpacked(str(archive)))
    assert folder == archive.with_name("agent-1.zip.d")
    assert (folder / "__main__.py").read_text() == "print('agent')\n"
    assert (folder / "remote/__init__.py").is_file()
    assert beside(archive) == ["agent-1.zip", "agent-1.zip.d"]


def test_the_folder_is_made_once(archive: Path) -> None:
    folder = Path(unpacked(str(archive)))
    (folder / "__main__.py").write_text("compiled")
    archive.write_bytes(b"not even read any more")
    assert unpacked(str(archive)) == str(folder)
    assert (folder / "__main__.py").read_text() == "compiled"


def test_without_a_place_for_the_folder_the_zip_itself_is_run(tmp_path: Path) -> None:
    gone = str(tmp_path / "nowhere" / "agent.zip")
    assert unpacked(gone) == gone


def test_what_can_not_get_its_name_leaves_nothing_behind(archive: Path) -> None:
    archive.with_name("agent-1.zip.d").write_text("a file has the name")
    assert unpacked(str(archive)) == str(archive)
    assert beside(archive) == ["agent-1.zip", "agent-1.zip.d"]


def test_of_several_that_start_at_once_all_run_the_same_folder(archive: Path) -> None:
    ready, found = threading.Barrier(8), []

    def start() -> None:
        ready.wait()
        found.append(unpacked(str(archive)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [f"{archive}.d"] * 8
    assert beside(archive) == ["agent-1.zip", "agent-1.zip.d"]


def test_the_folder_answers_as_the_zip_does_and_is_called_like_it(tmp_path: Path) -> None:
    zipped = tmp_path / "it's a cache" / "agent-1.zip"
    zipped.parent.mkdir()
    files = bundle.contents()
    files["remote/agent/main.py"] = b"import sys\ndef main():\n    print(*sys.argv, sys.path[0])\n"
    zipped.write_bytes(bundle.packed(files))
    places = (zipped, f"{zipped}{UNPACKED}", Path(f"{zipped}{UNPACKED}").relative_to(tmp_path))
    said = [
        subprocess.check_output([sys.executable, "-IS", place, "ask"], cwd=tmp_path, text=True)
        for place in places
    ]
    assert said == [f"{zipped} ask {zipped}.d\n"] * 3
