"""The `python` of an environment that is a container: starts the image's own, with these words.

A copy of this file lies in each such environment, since agents go and environments stay. It sees the
target under its own path, so that what a job names means the same inside.
"""

import json
import os
import re
import shutil
import sys

#: Variables that are the image's own, or say where things are outside.
OUTSIDE = re.compile(r"PATH|LD_.*|HOME|HOSTNAME|PWD|OLDPWD|SHLVL|SHELL|TMPDIR|XDG_.*|DBUS_.*|_")

#: How CUDA_VISIBLE_DEVICES names a card that Docker can be asked for.
CARD = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+|[0-9]+")


def main() -> None:
    """Become the program that starts the container."""
    folder = os.path.dirname(os.path.realpath(__file__))
    with open(os.path.join(folder, "container.json"), encoding="utf-8") as file:
        settings = json.load(file)
    root = os.path.dirname(os.path.dirname(os.path.dirname(folder)))
    is_docker = os.path.basename(settings["engine"]) == "docker"
    words = (docker if is_docker else apptainer)(settings, root)
    os.execv(settings["engine"], [settings["engine"], *words, *sys.argv[1:]])


def apptainer(settings: "dict[str, str]", root: str) -> "list[str]":
    """Its words; it passes variables on, and has the home, /tmp and the working folder by itself."""
    cards = [option for option, is_there in (
        ("--nv", shutil.which("nvidia-smi")), ("--rocm", os.path.exists("/dev/kfd"))) if is_there]  # fmt: skip
    binds = [word for place in places(root) for word in ("--bind", place)]
    return ["exec", *cards, *binds, "--pwd", os.getcwd(), settings["image"], "python3"]


def docker(settings: "dict[str, str]", root: str) -> "list[str]":
    """Docker's. Values reach it by its own variables: a command line is everybody's to read."""
    home = os.path.join(root, ".remote", "home")
    os.makedirs(home, exist_ok=True)
    names = sorted(name for name in os.environ if not OUTSIDE.fullmatch(name))
    user = [] if settings.get("rootless") else ["--user", f"{os.getuid()}:{os.getgid()}"]
    user += [word for group in os.getgroups() for word in ("--group-add", str(group))]
    words = ["run", "--rm", "--init", "--network", "host", "--ipc", "host", *user, *devices()]
    for place in [*places(root), "/tmp"]:
        words += ["--volume", f"{place}:{place}"]
    for name in names:
        words += ["--env", name]
    words += ["--env", f"HOME={home}", "--workdir", os.getcwd(), "--entrypoint", "python3"]
    return [*words, settings["image"]]


def devices() -> "list[str]":
    """The cards that the job may see; all of them where nothing is said."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    if not visible or shutil.which("nvidia-smi") is None:
        return []
    cards = visible.split(",")
    # Docker reads a list within a list.
    is_list = all(map(CARD.fullmatch, cards))
    return ["--gpus", '"device={}"'.format(",".join(cards)) if is_list else "all"]


def places(root: str) -> "list[str]":
    """Folders that are the same inside: the target, the toolkit's, and what links of the target and
    of its `data` lead to."""
    found = [root, os.path.expanduser("~/.cache/remote-gpu-workflow")]
    for folder in (root, os.path.join(root, "data")):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        links = (os.path.join(folder, name) for name in names)
        found += [os.path.realpath(path) for path in links if os.path.islink(path)]
    kept = dict.fromkeys(path for path in found if os.path.exists(path) and ":" not in path)
    return [path for path in kept if path == root or not path.startswith(f"{root}/")]


if __name__ == "__main__":
    main()
