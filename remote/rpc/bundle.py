"""The agent's zip file: what is in it, and what it is called."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

_GUARD = b"""
import sys

if sys.version_info < (3, 8):
    raise ImportError("the toolkit needs Python 3.8 or newer, not %d.%d.%d" % sys.version_info[:3])
"""

#: What the agent is made of, below the package `remote`.
PARTS = (
    "__init__.py",
    "addresses.py",
    "errors.py",
    "files.py",
    "folders.py",
    "job/**/*.py",
    "agent/**/*.py",
    "runtime/**/*.py",
    "tracking/**/*.py",
)

#: What of these only the laptop runs. No module of the agent imports it, and each server is sent the
#: zip, so it stays here.
CLIENT_ONLY = tuple(
    f"tracking/{name}"
    for name in ("check/examine.py", "check/missing_", "export/", "store_address.py")
)

#: zlib's own balance of size and speed; the same on each laptop, so that the same zip comes out.
LEVEL = 6

#: Programs that install packages: scripts of these names, first on a job's PATH, ask whether they may.
INSTALLERS = ("pip", "pip3", "uv", "conda", "mamba", "micromamba")
PROGRAMS = "remote/runtime/bin/"
INSTALLER = """\
#!/bin/sh
exec python "${0%/*}/../site/remote_job_install.py" "${0##*/}" "$@"
"""

#: At the top of the zip: importable in jobs of a project that has a package `remote` too.
HOOK = "remote_job_mlflow"

METADATA = "Metadata-Version: 2.1\nName: remote-job\nVersion: 0\n"

#: MLflow's own seams for those who run its programs (mlflow.org, "MLflow Plugins").
ENTRY_POINTS = f"""[mlflow.run_context_provider]
remote = {HOOK}:JobContext
[mlflow.default_experiment_provider]
remote = {HOOK}:JobExperiment
"""


def contents() -> dict[str, bytes]:
    """The files of the agent's zip by their names in it."""
    package = Path(__file__).parents[1]
    files = {"__main__.py": (package / "agent_main.py").read_bytes()}
    for part in PARTS:
        for path in sorted(package.glob(part)):
            name = path.relative_to(package).as_posix()
            if not name.startswith(CLIENT_ONLY):
                files[f"remote/{name}"] = path.read_bytes()
    files["remote/__init__.py"] += _GUARD
    files.update({f"{PROGRAMS}{name}": INSTALLER.encode() for name in INSTALLERS})
    files[f"{HOOK}.py"] = files.pop(f"remote/runtime/{HOOK}.py")
    files["remote_job-0.dist-info/METADATA"] = METADATA.encode()
    files["remote_job-0.dist-info/entry_points.txt"] = ENTRY_POINTS.encode()
    return files


def digest(files: dict[str, bytes]) -> str:
    """A name for exactly these files."""
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:32]


def packed(files: dict[str, bytes]) -> bytes:
    """The zip of these files, always the same for the same ones."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sorted(files.items()):
            # The earliest time that a zip can hold: when a file was checked out says nothing.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name.startswith(PROGRAMS) else 0o600) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, LEVEL)
    return out.getvalue()
