"""Where the Python processes of a job import the project from.

Python imports a `sitecustomize` at each start, after it has read site-packages, and finds this one
by PYTHONPATH, an old Python 2 too. The project's folders come last, as those of an installed
project do: its own names hide neither packages nor the standard library. Nothing of the toolkit's
package is imported, since a project may have one called `remote` too.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def call_hidden():
    # type: () -> None
    """Import the environment's own `sitecustomize`, which this one hides; this folder is off the
    path meanwhile."""
    this = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as error:
        if getattr(error, "name", __name__) != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, this)


def add_notebook_folder():
    # type: () -> None
    """Have a kernel find modules beside its notebook before installed ones, where IPython looks in
    the working folder; that comes last where it is another."""
    # What the notebook starts is no notebook.
    folder = os.environ.pop("REMOTE_NOTEBOOK_FOLDER", "")
    if folder:
        names = [os.path.basename(place) for place in sys.path]
        packages = [i for i, name in enumerate(names) if name.endswith("-packages")]
        sys.path.insert(packages[0] if packages else 0, folder)
        sys.path.append("")


def refuse_install():
    # type: () -> None
    """End this process where it is a pip that would change the job's environment."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            line = file.read()
    except OSError:
        return
    if sys.version_info > (3, 8) and b"pip" in line and "REMOTE_ENVIRONMENT" in os.environ:
        import remote_job_install

        remote_job_install.check_pip(os.fsdecode(line).split("\0")[1:-1])


def main():
    # type: () -> None
    """Have this process be one of a job."""
    places = os.environ.get("REMOTE_IMPORT_PATH", "").split(os.pathsep)
    sys.path[:] = [place for place in sys.path if place != HERE]
    call_hidden()
    sys.path += [place for place in places if place]
    sys.path.append(HERE)
    add_notebook_folder()
    refuse_install()


if __name__ == "sitecustomize":
    main()
