#!/bin/sh
# lock.sh UV: resolve both lock files anew. No index's address is written into them.
set -eu
options="--universal --generate-hashes --no-header --no-annotate --no-emit-index-url -q"
"$1" pip compile $options --upgrade pyproject.toml -o requirements.lock
"$1" pip compile $options --upgrade --group dev -c requirements.lock -o requirements-dev.lock
