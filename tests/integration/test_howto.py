"""Answers of *How do I …* that need something on the server: their settings and commands, as printed.

conda's environments, `module load`, nvcc, torchrun and VS Code are stand-ins; what finds, starts and
records them is real. The page's other commands are typed by tests/integration/test_docs.py.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.farm import Farm, resident_farm
from tests.integration.notebooks import notebook
from tests.integration.reader import blocks
from tests.prefixes import make_prefix, write_program
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(600)

PAGE = (ROOT / "docs/howto.md").read_text("utf-8")

#: It asks a package index: tests/operations/test_add_package.py has one of its own.
ELSEWHERE = {"inv add pandas", "inv add 'torch>=2.6' --extra torch"}

#: What each command shows, or its job.
SHOWN = {
    "inv remote-run --follow -- which python": "/miniforge3/envs/torch/bin/python",
    "inv remote-run --target cluster --follow -- nvcc --version": "release 12.4",
    "inv remote-run --target gpu1 --follow -- ls data/imagenet": "n01440764",
    "inv remote-put ~/Downloads/imagenet.tar --to data/raw": "data/raw: 1 file",
    "inv mlflow-pull": "new run",
    "inv remote-fetch last out/model.pt": "out/model.pt",
    "inv remote-run src/train.py --retries 2": "epoch 1",
    "inv remote-rerun last --resume": "epoch 2",
    "inv remote-run train.ipynb --target any": "of 2 targets, it goes to",
    "inv remote-ps --target all": "train.ipynb",
    # Whether the notebook has ended by then isn't said.
    "inv sync-pull --target all": " 2 new runs",
    "inv remote-code last": "",
    "inv remote-run --gpus 4 -- torchrun --standalone --nproc-per-node 4 src/train.py": "4 cards",
}

#: Goes on where the state that is kept says.
TRAIN = """
import os, pathlib
state = pathlib.Path(os.environ["REMOTE_JOB_STATE_DIR"], "epoch")
epoch = int(state.read_text()) + 1 if state.exists() else 1
state.write_text(str(epoch))
print("epoch", epoch)
"""

#: The stand-ins: of conda's environment, and below the home.
TORCHRUN = 'echo "$(echo $CUDA_VISIBLE_DEVICES | tr , "\\n" | wc -l) cards"'
PROGRAMS = {
    "cuda-12.4/bin/nvcc": "echo Cuda compilation tools, release 12.4",
    "bin/code": 'echo "$@" >~/opened',
}


def typed() -> list[str]:
    """The commands of the page's blocks that aren't for every reader."""
    return [line for block in blocks(PAGE, "text") for line in block.splitlines()]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """One home for the laptop and the server, with the stand-ins and the page's settings."""
    folder = tmp_path_factory.mktemp("howto")
    with resident_farm(folder) as farm:
        home = folder / "home"
        make_prefix(home / "miniforge3/envs/torch", {"torchrun": TORCHRUN})
        for name, script in PROGRAMS.items():
            write_program(home / name, script)
        (home / "miniforge3/envs/torch/conda-meta").mkdir()
        # A login shell's PATH is the system's, where nvidia-smi is.
        (home / ".bash_profile").write_text(
            f"PATH={farm.gpus.bin}:$PATH\n" + 'module() { PATH=~/"${2/\\//-}/bin:$PATH"; }\n'
        )
        (home / "Downloads").mkdir()
        (home / "Downloads/imagenet.tar").write_text("pictures")
        (folder / "datasets/n01440764").mkdir(parents=True)
        settle(farm, folder)
        farm.project.env["PATH"] = f"{home}/bin{os.pathsep}{farm.project.env['PATH']}"
        yield farm


def settle(farm: Farm, folder: Path) -> None:
    """Write the page's settings, with places of this test's, and a project."""
    places = {
        "ada@login:proj": folder / "server/cluster",
        "ada@gpu1:/proj": folder / "server/gpu1",
        "/datasets/imagenet": folder / "datasets",
    }
    settings = "\n".join(blocks(PAGE, "toml"))
    for name, place in places.items():
        assert f'"{name}"' in settings
        settings = settings.replace(f'"{name}"', f'"{place}"')
    with open(farm.project.root / "pyproject.toml", "a", encoding="utf-8") as file:
        file.write(settings)
    farm.project.write("src/train.py", TRAIN)
    farm.project.write("src/notebooks/train.ipynb", notebook("print(epoch)"))
    empty_store(farm.project.root)


def run(farm: Farm, line: str) -> str:
    """What a line shows, and the log of the job that it starts on the target."""
    words = shlex.split(line.replace("~", farm.project.env["HOME"]))
    shown = farm.project.inv(*words[1:]).text
    if words[1] in ("remote-run", "remote-rerun") and not {"--follow", "--target"} & {*words}:
        shown += farm.project.inv("remote-logs", "last", "--follow").text
    return shown


def test_each_command_of_the_page_does_what_it_says(farm: Farm) -> None:
    assert {*typed()} == {*SHOWN, *ELSEWHERE}
    for line in typed():
        if line.startswith("inv remote-fetch"):
            run(farm, "inv remote-run --follow --shell 'mkdir out; echo weights > out/model.pt'")
        if line not in ELSEWHERE:
            assert SHOWN[line] in run(farm, line), line
    opened = Path(farm.project.env["HOME"], "opened").read_text()
    assert re.search(r"/\.remote/jobs/[^/]+-train-[^/]+/code$", opened.strip())
    fetched = farm.project.root.glob("data/results/fetched/*/out/model.pt")
    assert [path.read_text() for path in fetched] == ["weights\n"]


def test_the_settings_of_the_page_are_toml_of_their_own() -> None:
    assert re.findall(r"^\[(.+)\]$", "".join(blocks(PAGE, "toml")), re.MULTILINE) == [
        "tool.remote",
        "tool.remote.targets.cluster",
        "tool.remote.targets.gpu1",
    ]
