#!/bin/sh
# lock.sh UV [--upgrade]: resolve the lock files, for the project, for each of its extras, and for
# development. What is locked keeps its version, but with --upgrade. No index's address is in them.
# The locks serve every Python that pyproject.toml allows, not only the one at hand.
set -eu
export UV_PYTHON_DOWNLOADS=never
oldest=$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)
options="--universal --python-version $oldest --generate-hashes --no-header --no-annotate --no-emit-index-url -q"
upgrade=${2:-}
# The group dev has these, a command of the laptop each: no lock file of their own.
commands="top watch mcp"
"$1" pip compile $options $upgrade --group project pyproject.toml -o requirements.lock
extras=$(sed -n '/^\[project\.optional-dependencies\]$/,/^\[/s/^\([a-z][a-z0-9-]*\) = \[.*/\1/p' pyproject.toml)
# All are installed side by side, so each keeps to what those before it have.
constraints="-c requirements.lock"
for extra in $extras; do
    case " $commands " in *" $extra "*) continue ;; esac
    "$1" pip compile $options $upgrade --extra "$extra" $constraints pyproject.toml -o "requirements-$extra.lock"
    constraints="$constraints -c requirements-$extra.lock"
done
"$1" pip compile $options $upgrade --group dev $constraints -o requirements-dev.lock
