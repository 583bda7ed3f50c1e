"""docs/slurm.md: its settings and its command for several nodes, typed against a real Slurm."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.slurm import Cluster
from tests.conftest import ROOT, ProjectFolder, make_project, share_stores
from tests.integration.reader import blocks
from tests.prefixes import make_prefix
from tests.stores import empty_store

pytestmark = pytest.mark.timeout(600)

PAGE = (ROOT / "docs/slurm.md").read_text("utf-8")

#: It is in no lock file; this one says where it runs.
TORCHRUN = 'echo "$SLURMD_NODENAME has $CUDA_VISIBLE_DEVICES and was told $*"'


@pytest.fixture
def project(tmp_path: Path, started: Cluster) -> Iterator[ProjectFolder]:
    """A project with the page's settings, on the login node itself."""
    made = make_project(tmp_path / "project", **started.env)
    share_stores(Path.home())
    make_prefix(tmp_path / "env", {"torchrun": TORCHRUN})
    [settings] = blocks(PAGE, "toml")
    place = settings.replace("ada@login:/work/ada/proj", str(tmp_path / "target"))
    # The nodes of the tests have less memory, and nobody keeps accounts there.
    place = place.replace("--mem=32G", "--mem=32M").replace('"--account=lab", ', "")
    assert 'launcher = "slurm"' in place and "--partition=gpu" in place and place != settings
    with open(made.root / "pyproject.toml", "a", encoding="utf-8") as file:
        file.write(f'[tool.remote]\npython = "{tmp_path}/env"\n{place}')
    empty_store(made.root)
    yield made


def test_the_command_for_several_nodes_starts_torchrun_on_each(project: ProjectFolder) -> None:
    [line] = re.findall(r"^`(inv remote-run --nodes .*)`$", PAGE, re.MULTILINE)
    words = shlex.split(line)[1:]
    log = project.inv(words[0], "--target", "cluster", "--follow", *words[1:]).text
    told = re.findall(r"^(gpu[12]) has ([\d,]+) and was told (.*)$", log, re.MULTILINE)
    assert sorted(node for node, _, _ in told) == ["gpu1", "gpu2"], log
    assert all(len(cards.split(",")) == 4 for _, cards, _ in told)
    [options] = {options for _, _, options in told}
    assert re.search(
        r"--nnodes 2 --nproc-per-node 4 .* --rdzv-endpoint \S+:\d+ src/train.py", options
    )
