"""The laboratory itself: what the other tests of this folder stand on."""

from __future__ import annotations

from tests.research.conftest import Make


def test_it_has_every_extra_and_imports_its_own_package(laboratory: Make) -> None:
    lab = laboratory("own")
    script = "import lightning, onnxruntime, jupyterlab, lib, remote; print(lib.__file__); print(remote.__file__)"
    places = lab.python("-c", script).out.splitlines()
    assert places == [str(lab.root / "src/lib/__init__.py"), str(lab.root / "remote/__init__.py")]
    assert "remote-run" in lab.inv("--list").out


def test_its_jobs_get_the_extra(laboratory: Make) -> None:
    lab = laboratory("jobs")
    lab.write("src/look.py", "import torch\nfrom lib import digits\nprint(torch.ones(2).sum())\n")
    done = lab.inv("remote-run", "src/look.py", "--extra", "torch", "--gpus", "0", "--follow")
    assert "tensor(2.)" in done.text
