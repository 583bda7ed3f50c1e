"""The `python` of an environment that is a container: starts the image's own, with these words.

A copy of this file lies in each such environment, since agents go and environments stay. It sees the
target under its own path, so that what a job names means the same inside.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Dict, List

#: Variables that are the image's own, or say where things are outside.
OUTSIDE = re.compile(r"PATH|LD_.*|HOME|HOSTNAME|PWD|OLDPWD|SHLVL|SHELL|TMPDIR|XDG_.*|DBUS_.*|_")

#: How CUDA_VISIBLE_DEVICES names a card that Docker can be asked for.
CARD = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+|[0-9]+")


def main() -> None:
    """Become the program that starts the container."""
    folder = Path(os.path.realpath(__file__)).parent
    settings = json.loads((folder / "container.json").read_text("utf-8"))
    engine, root = settings["engine"], folder.parents[2]
    # One that was fetched moves with the target.
    own = folder / settings["image"]
    settings["image"] = str(own) if own.is_file() else settings["image"]
    words = (docker if Path(engine).name == "docker" else apptainer)(settings, root)
    os.execv(engine, [engine, *words, *sys.argv[1:]])


def apptainer(settings: Dict[str, str], root: Path) -> List[str]:
    """Its words; it passes variables on, and has the home, /tmp and the working folder by itself."""
    cards = ["--nv"] if shutil.which("nvidia-smi") else []
    cards += ["--rocm"] if Path("/dev/kfd").exists() else []
    binds = [word for place in places(root) for word in ("--bind", place)]
    return ["exec", *cards, *binds, "--pwd", str(Path.cwd()), settings["image"], "python3"]


def docker(settings: Dict[str, str], root: Path) -> List[str]:
    """Docker's. Values reach it by its own variables: a command line is everybody's to read."""
    home = root / ".remote/home"
    home.mkdir(exist_ok=True)
    user = [] if settings.get("rootless") else ["--user", f"{os.getuid()}:{os.getgid()}"]
    user += [word for group in os.getgroups() for word in ("--group-add", str(group))]
    words = ["run", "--rm", "--init", "--network", "host", "--ipc", "host", *user, *devices()]
    for place in [*places(root), "/tmp"]:
        words += ["--volume", f"{place}:{place}"]
    for name in sorted(name for name in os.environ if not OUTSIDE.fullmatch(name)):
        words += ["--env", name]
    words += ["--env", f"HOME={home}", "--workdir", str(Path.cwd()), "--entrypoint", "python3"]
    return [*words, settings["image"]]


def devices() -> List[str]:
    """The cards that the job may see; all of them where nothing is said."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    if not visible or shutil.which("nvidia-smi") is None:
        return []
    cards = visible.split(",")
    # Docker reads a list within a list.
    is_list = all(map(CARD.fullmatch, cards))
    return ["--gpus", '"device={}"'.format(",".join(cards)) if is_list else "all"]


def places(root: Path) -> List[str]:
    """Folders that are the same inside: the target, the toolkit's, and what links of the target and
    of its `data` lead to."""
    found = [root, Path.home() / ".cache/remote-gpu-workflow"]
    for folder in (root, root / "data"):
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        found += [Path(os.path.realpath(str(path))) for path in entries if path.is_symlink()]
    kept = dict.fromkeys(path for path in found if path.exists() and ":" not in str(path))
    return [str(path) for path in kept if root not in path.parents]


if __name__ == "__main__":
    main()
