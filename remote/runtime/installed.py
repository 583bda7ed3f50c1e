"""What is installed where a job runs, noted with the job: of an environment that no lock file
describes, nothing else tells later."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Dict, Iterable

from remote.files import write_json

#: How a distribution's folder is called: `numpy-2.1.0.dist-info`, `six-1.16-py3.11.egg-info`.
_DISTRIBUTION = re.compile(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")

#: A file of conda's for each package: `cuda-cudart-12.4.127-0.json`.
_CONDA = re.compile(r"(.+)-([^-]+)-[^-]+\.json")

#: The toolkit's own, in the archive of its agent.
_OURS = "remote-job"


def note(file: str) -> None:
    """Write down what this Python finds; a full disk keeps nobody from working."""
    with contextlib.suppress(OSError):
        write_json(Path(file), installed(sys.path, Path(sys.prefix) / "conda-meta"))


def installed(places: Iterable[str], conda: Path) -> Dict[str, str]:
    """Versions by name, as the names of folders and files tell them: the first place counts. What
    conda installed beside Python's packages comes last."""
    found: Dict[str, str] = {}
    for place, pattern in [*((place, _DISTRIBUTION) for place in places), (str(conda), _CONDA)]:
        with contextlib.suppress(OSError):
            for match in filter(None, map(pattern.fullmatch, sorted(os.listdir(place or ".")))):
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    found.pop(_OURS, None)
    return found
