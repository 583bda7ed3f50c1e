#!/bin/sh
# lock.sh UV [--keep]: resolve the lock files anew, for the project, for each of its extras, and for
# development; with --keep only what pyproject.toml asks for now. No index's address is in them.
# The locks serve every Python that pyproject.toml allows, not only the one at hand.
set -eu
export UV_PYTHON_DOWNLOADS=never
oldest=$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)
options="--universal --python-version $oldest --generate-hashes --no-header --no-annotate --no-emit-index-url -q"
upgrade=--upgrade
[ "${2:-}" != --keep ] || upgrade=
"$1" pip compile $options $upgrade --group project pyproject.toml -o requirements.lock
extras=$(sed -n '/^\[project\.optional-dependencies\]$/,/^\[/s/^\([a-z][a-z0-9-]*\) = \[.*/\1/p' pyproject.toml)
# Extras are installed side by side, so each keeps to what those before it have.
constraints="-c requirements.lock"
for extra in $extras; do
    "$1" pip compile $options $upgrade --extra "$extra" $constraints pyproject.toml -o "requirements-$extra.lock"
    constraints="$constraints -c requirements-$extra.lock"
done
"$1" pip compile $options $upgrade --group dev -c requirements.lock -o requirements-dev.lock
