"""Programs that install packages, in a job: none of them changes the job's environment.

It is what the lock file says, and shared by all jobs that have the same one. `sitecustomize` asks
here for each pip that runs in Python; the scripts in `../bin`, which are first on a job's
PATH, run this file for the others.
"""

import os
import sys

#: What of a program's commands changes an environment, and the options that name another one.
COMMANDS = {
    "pip": ("install", "uninstall"),
    "uv": ("pip install", "pip uninstall", "pip sync"),
    "conda": ("install", "update", "upgrade", "remove", "uninstall"),
}
ELSEWHERE = {
    "pip": ("-t", "--target", "--prefix", "--root", "--python", "--dry-run"),
    "uv": ("-t", "--target", "--prefix", "-p", "--python", "--dry-run"),
    "conda": ("-n", "--name", "-p", "--prefix", "--dry-run"),
}


def refuse(program: str, words: "list[str]") -> None:
    """End this process, with one line, where `words` would have the program change it."""
    kind = "conda" if program.endswith(("conda", "mamba")) else program.rstrip("0123456789.")
    plain = [word for word in words if not word.startswith("-")]
    command = " ".join(plain[: 2 if kind == "uv" else 1])
    elsewhere = any(word.partition("=")[0] in ELSEWHERE[kind] for word in words)
    if command in COMMANDS[kind] and not elsewhere:
        end(
            f"[remote] `{program} {command}` is refused in a job, whose environment is made from"
            f" {os.environ.get('REMOTE_LOCK_FILE', 'the lock file')}: add the package to what that"
            " is made from, renew it (make lock), and inv remote-run again."
        )


def check_pip(words: "list[str]") -> None:
    """The same for a Python whose command line goes on with `words`, where it runs pip; and answer
    in pip's place where it isn't installed."""
    program, asked = script(words)
    own = sys.prefix in (sys.base_prefix, os.environ["REMOTE_ENVIRONMENT"])
    if program.rstrip("0123456789.") != "pip" or not own:
        return
    refuse("pip", asked)
    from importlib.util import find_spec

    if find_spec("pip") is None:
        answer(asked)


def script(words: "list[str]") -> "tuple[str, list[str]]":
    """The name of the module or script that a Python is to run, and its arguments."""
    for number, word in enumerate(words):
        if word == "-m":
            return "".join(words[number + 1 : number + 2]), words[number + 2 :]
        if not word.startswith("-"):
            return os.path.basename(word), words[number + 1 :]
    return "", []


def answer(asked: "list[str]") -> None:
    """What is installed, one line each, for `pip list` and `pip freeze`."""
    if not {"list", "freeze"} & set(asked):
        end("[remote] This environment has no pip; `pip list` and `pip freeze` are answered.")
    from importlib.metadata import distributions

    lines = {f"{item.metadata['Name']}=={item.version}" for item in distributions()}
    print("\n".join(sorted(lines, key=str.lower)), flush=True)
    os._exit(0)


def end(text: str) -> None:
    """Say it, and end at once: an exception could not leave `sitecustomize` in one line."""
    print(text, file=sys.stderr, flush=True)
    os._exit(1)


def main() -> None:
    """`<program> <words>`: refuse, or become the program that the script in `../bin` hides."""
    program, words = sys.argv[1], sys.argv[2:]
    active = [os.environ.get(name) for name in ("VIRTUAL_ENV", "CONDA_PREFIX")]
    if os.environ.get("REMOTE_ENVIRONMENT", "") in active:
        refuse(program, words)
    if program.startswith("pip"):
        os.execv(sys.executable, [sys.executable, "-m", "pip", *words])
    from shutil import which

    own = os.path.realpath(os.path.join(os.path.dirname(__file__), "../bin"))
    places = [place for place in os.get_exec_path() if os.path.realpath(place) != own]
    path = which(program, path=os.pathsep.join(places))
    if path is None:
        print(f"{program}: not found", file=sys.stderr)
        sys.exit(127)
    os.execv(path, [program, *words])


if __name__ == "__main__":
    main()
