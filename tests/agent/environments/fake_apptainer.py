"""apptainer, as far as the toolkit uses it: `exec` runs a program outside of any container, with the
image's own PATH, and `pull` leaves a file. It refuses options that it doesn't know.

There is no real one to be had for the tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    command, *words = sys.argv[1:]
    if command == "pull":
        place, name = words
        if Path(place).exists() or not name.startswith("docker://"):
            sys.exit(f"FATAL: While making image from {name}")
        Path(place).write_text(name)
        return
    if command != "exec":
        sys.exit(f'Error for command "apptainer": unknown command "{command}"')
    execute(words)


def execute(words: list[str]) -> None:
    flags, binds = [], []
    while words[0].startswith("-"):
        option = words.pop(0)
        if option == "--nv":
            flags.append(option)
        elif option in ("--bind", "--pwd"):
            value = words.pop(0)
            if not Path(value).is_dir():
                sys.exit(f"FATAL: container creation failed: mount {value}: no such directory")
            binds += [value] if option == "--bind" else []
        else:
            sys.exit(f'Error for command "exec": unknown flag: {option}')
    image = words.pop(0)
    if not Path(image).is_file():
        sys.exit(f"FATAL: could not open image {image}: no such file or directory")
    assert words[0] == "python3"
    told = {"APPTAINER_CONTAINER": image, "FLAGS": " ".join(flags), "BINDS": "\n".join(binds)}
    variables = {**os.environ, **told, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    os.execve(sys.executable, [sys.executable, *words[1:]], variables)


if __name__ == "__main__":
    main()
