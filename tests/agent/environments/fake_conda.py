"""micromamba, mamba or conda, as far as the toolkit uses them: makes a prefix with what a file lists,
refuses options that it doesn't know, a prefix that is there, and packages that no channel has.

Its own name says which it is. There is no real one to be had without conda's channels.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

#: What its one channel has.
CHANNEL = {"python": "3.11.9", "numpy": "2.1.0", "ipykernel": "6.29", "cuda-cudart": "12.4.127"}


def main() -> None:
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    start = ["create"] if name == "micromamba" else ["env", "create"]
    if words[: len(start)] != start:
        sys.exit(f"{name}: unknown command {' '.join(words)}")
    given, rest = {}, words[len(start) :]
    while rest:
        option = rest.pop(0)
        if option == "--quiet":
            continue
        if option not in ("--prefix", "--file") or not rest:
            sys.exit(f"{name}: error: unrecognized arguments: {option}")
        given[option] = rest.pop(0)
    always = "CONDA_ALWAYS_YES" if name == "conda" else "MAMBA_ALWAYS_YES"
    if os.environ.get(always) != "true":
        input("Proceed ([y]/n)? ")
    make(Path(given["--prefix"]), Path(given["--file"]))


def make(prefix: Path, file: Path) -> None:
    text = file.read_text()
    if prefix.exists():
        sys.exit(f"CondaValueError: prefix already exists: {prefix}")
    listed, _, pip = text.partition("- pip:")
    packages = re.findall(
        r"^ +- ([\w-]+)(?:[=<> ].*)?$", listed.partition("dependencies:")[2], re.M
    )
    missing = [package for package in packages if package not in CHANNEL and package != "pip"]
    if missing:
        sys.exit(f"error    libmamba Could not solve for environment specs: {missing[0]}")
    print(f"Transaction: {len(packages)} packages")
    (prefix / "conda-meta").mkdir(parents=True)
    for package in set(packages) & set(CHANNEL):
        meta = {"name": package, "version": CHANNEL[package]}
        (prefix / f"conda-meta/{package}-{CHANNEL[package]}-0.json").write_text(json.dumps(meta))
    if "python" in packages:
        install_python(prefix, re.findall(r"- (.+)", pip))


def install_python(prefix: Path, requirements: list[str]) -> None:
    venv = [sys.executable, "-m", "venv", "--without-pip", str(prefix)]
    subprocess.run(venv, check=True)
    (prefix / "pyvenv.cfg").rename(prefix / "bin/pyvenv.cfg")
    packages = next(prefix.glob("lib/*/site-packages"))
    for line in requirements:
        if line.startswith("-r "):
            requirements += Path(line[3:]).read_text().split()
        elif "==" in line:
            (packages / f"{line.replace('==', '-')}.dist-info").mkdir()
        else:
            sys.exit(f"ERROR: Invalid requirement: {line}")


if __name__ == "__main__":
    main()
