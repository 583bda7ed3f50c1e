#!/bin/sh
# lock.sh UV: resolve both lock files anew. No index's address is written into them.
# The locks serve every Python that pyproject.toml allows, not only the one at hand.
set -eu
oldest=$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)
options="--universal --python-version $oldest --generate-hashes --no-header --no-annotate --no-emit-index-url -q"
"$1" pip compile $options --upgrade pyproject.toml -o requirements.lock
"$1" pip compile $options --upgrade --group dev -c requirements.lock -o requirements-dev.lock
