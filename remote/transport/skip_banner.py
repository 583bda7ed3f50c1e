"""`ssh` for rsync where start-up files of the login shell print on standard output.

Runs the command given as arguments and drops its output up to the line that rsync's remote command
prints first (`remote.transport.rsync_args.MARK`). rsync starts it as a script, so that it imports
nothing of the toolkit's.
"""

import os
import subprocess
import sys

MARK = b"remote-rsync-starts-here\n"

#: Bytes that start-up files may print.
LONGEST_NOISE = 1 << 20


def main() -> int:
    """Run the command; its exit code comes back."""
    # Without a buffer of ours, nothing is read of what follows the mark.
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    noise = b""
    for _ in range(LONGEST_NOISE):
        letter = process.stdout.read(1)
        noise = (noise + letter)[-len(MARK) :]
        if noise == MARK or not letter:
            break
    else:
        process.kill()
        sys.exit("The server prints a megabyte and more before rsync starts.")
    while piece := process.stdout.read(1 << 16):
        while piece:
            piece = piece[os.write(1, piece) :]
    os.close(1)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
