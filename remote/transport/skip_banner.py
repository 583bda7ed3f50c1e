"""`ssh` for rsync where start-up files of the login shell print on standard output.

Runs the command given as arguments and drops its output up to the line that rsync's remote command
prints first (`remote.transport.rsync_args.MARK`). rsync starts it as a script, so that it imports
nothing of the toolkit's.
"""

import os
import subprocess
import sys

MARK = b"remote-rsync-starts-here\n"


def main() -> int:
    """Run the command; its exit code comes back."""
    # Without a buffer of ours, a line is read byte by byte, and nothing of what follows it.
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(MARK):
            break
    while piece := process.stdout.read(1 << 16):
        while piece:
            piece = piece[os.write(1, piece) :]
    os.close(1)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
