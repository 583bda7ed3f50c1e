#!/bin/sh
# check.sh BIN: what `make test` runs before the tests.
set -eu
bin=$1
for tool in isort black ruff mypy lint-imports vermin; do
    [ -x "$bin/$tool" ] || { echo "$tool is missing: make install" >&2; exit 1; }
done
code="remote src pipelines scripts tests bench tasks.py"
# It takes as long as all the others together: beside them.
"$bin/mypy" &
types=$!
trap 'kill "$types" 2>/dev/null' EXIT
"$bin/isort" -q --check-only $code
"$bin/black" -q --check $code || { "$bin/black" --check $code; exit 1; }
"$bin/ruff" check -q $code
"$bin/lint-imports" --no-logo 2>/dev/null || "$bin/lint-imports"
# The agent runs under the server's own python3, which may be old.
"$bin/vermin" -q -t=3.8- --no-tips remote/agent remote/tracking remote/job remote/files.py remote/folders.py remote/addresses.py remote/errors.py remote/secret_files.py
sh scripts/audit.sh "$bin"
trap - EXIT
wait "$types"
