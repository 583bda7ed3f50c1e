"""The lock on a target's tree, held by the rsync that writes there: pure, but for what it reads of it.

The rsync at the target's end inherits the locked file, so that the kernel frees it when the last
process of that rsync has ended, whatever became of the client. Nobody waits on the server: where the
lock is taken, the command says so and ends, and the client comes again.
"""

from __future__ import annotations

import re
from pathlib import Path

from remote.job.tree import LOCK, PushStamp

#: Said where another holds the lock, before its stamp; where the tree isn't that of the push before;
#: and where the file system has no locks.
BUSY = "remote-tree-is-locked"
ANOTHERS = "remote-tree-is-of-another-push"
UNLOCKED = "remote-tree-has-no-lock"

#: Where the program flock is missing (macOS) or says no, Python tells why: 75 is a lock that another
#: holds, 76 a file system without locks. The child locks what the shell has open, for the shell.
_ASK = (
    "import errno,fcntl,os,sys;"
    " sys.excepthook=lambda kind,error,trace: os._exit(75+(error.errno"
    " not in (errno.EAGAIN,errno.EACCES)));"
    " fcntl.flock(9,6)"
)

#: $0 is the lock, $1 the stamp, $2 the id of the push before or a dash, the rest is rsync's. No quote, line break or exclamation mark: it is
#: read by login shells of all kinds, within single quotes.
SCRIPT = (
    '[ -d "${0%/*}" ] || mkdir "${0%/*}"; exec 9>>"$0";'
    f' flock -n 9 2>/dev/null || python3 -IS -c "{_ASK}" || case $? in'
    f' 75) echo {BUSY} >&2; cat "$0" >&2; exit 75;;'
    f" 76) echo {UNLOCKED} >&2;;"
    " *) exit 127;; esac;"
    # A push that takes two transfers finds its own stamp at the second one.
    f' [ "$2" = - ] || grep -q -e "^$2:" -e "^${{1%%:*}}:" "$0" ||'
    f" {{ echo {ANOTHERS} >&2; exit 127; }};"
    # In place: on a full disk there may be no room for a second line.
    ' echo "$1" 1<>"$0" && shift 2 && exec "$@"'
)


def remote_command(stamp: PushStamp) -> str:
    """What stands before rsync's own words on the server, in the root of the target."""
    return f"sh -c '{SCRIPT}' {LOCK} {stamp} {stamp.after or '-'} rsync"


def local_command(root: Path, stamp: PushStamp) -> list[str]:
    """What stands before the words of an rsync on this machine."""
    return ["sh", "-c", SCRIPT, str(root / LOCK), str(stamp), stamp.after or "-"]


def is_busy(words: str) -> bool:
    """Whether another holds the lock, by what the command said on standard error."""
    return re.search(rf"^{BUSY}$", words, re.M) is not None


def is_anothers(words: str) -> bool:
    """Whether the tree is no more that of the push before."""
    return re.search(rf"^{ANOTHERS}$", words, re.M) is not None


def is_unlocked(words: str) -> bool:
    """Whether it went on without a lock."""
    return re.search(rf"^{UNLOCKED}$", words, re.M) is not None
