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
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    assert process.stdout is not None
    source = process.stdout.fileno()
    head = b""
    while MARK not in head:
        piece = os.read(source, 1 << 16)
        if not piece:
            return process.wait()
        head += piece
    piece = head.partition(MARK)[2]
    while True:
        while piece:
            piece = piece[os.write(1, piece) :]
        piece = os.read(source, 1 << 16)
        if not piece:
            os.close(1)
            return process.wait()


if __name__ == "__main__":
    sys.exit(main())
