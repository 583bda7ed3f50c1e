"""`__main__` of the agent's zip file: the agent, the worker, or what runs inside a job."""

from __future__ import annotations

import os
import sys


def unpacked(archive):
    # type: (str) -> str
    # A Python 2 must come as far as to say that it is one.
    """The zip's content as a folder beside it, made once: Python compiles a zip's modules anew
    at every start, and keeps what it compiled in a folder. The zip itself where that can't be."""
    folder = archive + ".d"
    if os.path.isdir(folder):
        return folder
    import shutil
    import tempfile
    import zipfile

    try:
        temporary = tempfile.mkdtemp(prefix=".tmp-", dir=os.path.dirname(archive))
    except OSError:
        return archive
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(temporary)
            for entry in file.infolist():
                if entry.external_attr >> 16 & 0o100:
                    os.chmod(os.path.join(temporary, entry.filename), 0o755)
        os.rename(temporary, folder)
    except OSError:
        # Another call was faster, or the disk is full.
        shutil.rmtree(temporary, ignore_errors=True)
    return folder if os.path.isdir(folder) else archive


if __name__ == "__main__":
    archive = os.path.dirname(os.path.abspath(__file__))
    if archive.endswith(".d"):
        # As a file of that folder it starts without Python's machinery for zips, which takes a sixth
        # of a call. Who starts a worker, or looks after the cache, names the zip.
        sys.path.insert(0, archive)
        sys.argv[0] = archive[:-2]
    else:
        sys.path[0] = unpacked(archive)
    in_job = sys.argv[1:2] in (["notebook"], ["program"], ["serve"])
    if in_job and "REMOTE_JOB_PACKAGES" in os.environ:
        from remote.runtime.installed import note

        note(os.environ["REMOTE_JOB_PACKAGES"])
    if sys.argv[1:2] == ["notebook"]:
        from remote.runtime.run_notebook import main
    elif sys.argv[1:2] == ["program"]:
        from remote.runtime.run_program import main
    elif sys.argv[1:2] == ["serve"]:
        from remote.runtime.serve import main
    elif sys.argv[1:2] == ["draw"]:
        from remote.runtime.draw_notebook import main
    else:
        from remote.agent.main import main
    main()
