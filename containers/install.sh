#!/bin/sh
# install.sh EXTRA...: install what the lock files name into the image's own Python, every file
# checked by hash.
set -eu
# The image's Python may be Debian's, which calls itself externally managed.
export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore UV_BREAK_SYSTEM_PACKAGES=1 UV_SYSTEM_CERTS=1
# Who runs them can't write here: without bytecode every start would compile it anew.
export UV_COMPILE_BYTECODE=1
cd /opt/lab/locks
sed -n '/^uv==/,/[^\\]$/p' requirements.lock >/tmp/uv.lock
python3 -m pip install -q --no-cache-dir --require-hashes -r /tmp/uv.lock
rm /tmp/uv.lock
for extra in "$@"; do
    set -- "$@" -r "requirements-$extra.lock"
    shift
done
uv pip install -q --no-cache --python "$(command -v python3)" -r requirements.lock "$@"
