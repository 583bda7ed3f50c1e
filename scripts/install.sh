#!/bin/sh
# install.sh VENV [EXTRA...]: make the virtual environment from the lock files, every file checked by
# hash. Extras are remembered for the next time.
set -eu
venv=$1
shift
for extra in "$@"; do
    case $extra in *[!a-z0-9-]*) lock= ;; *) lock=requirements-$extra.lock ;; esac
    if [ ! -f "$lock" ]; then
        echo "There is no extra '$extra'. There are:" requirements-*.lock |
            sed 's/requirements-dev\.lock//; s/requirements-\([a-z0-9-]*\)\.lock/\1/g' >&2
        exit 1
    fi
done

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON3:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if fits "$name"; then echo "$name"; return; fi
    done
    echo "Python 3.10 or newer is needed (python3 --version says: $(python3 --version 2>&1))." >&2
    echo "Install it, or name one: make install PYTHON3=/path/to/python3.12" >&2
    exit 1
}

if [ ! -x "$venv/bin/python" ] || ! fits "$venv/bin/python"; then
    python=$(find_python)
    echo "making $venv with $($python --version)" >&2
    if ! "$python" -m venv --clear "$venv" >/dev/null 2>&1; then
        # Debian keeps venv in a package of its own.
        sh scripts/tools.sh --optional python3-venv 2>/dev/null || true
        if ! "$python" -m venv --clear "$venv"; then
            echo "python3's venv module is missing. Install it: sudo apt-get install python3-venv" >&2
            exit 1
        fi
    fi
fi

# Behind a company's proxy the system knows the certificates, and pip and uv should too.
UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}
export UV_SYSTEM_CERTS

if [ ! -x "$venv/bin/uv" ]; then
    uv=$(mktemp)
    sed -n '/^uv==/,/[^\\]$/p' requirements.lock >"$uv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$uv"
    rm -f "$uv"
fi
for extra in "$@"; do
    grep -qx "$extra" "$venv/.extras" 2>/dev/null || echo "$extra" >>"$venv/.extras"
done
locks="requirements.lock requirements-dev.lock"
for extra in $(cat "$venv/.extras" 2>/dev/null); do
    [ ! -f "requirements-$extra.lock" ] || locks="$locks requirements-$extra.lock"
done
echo "installing what the lock files name" >&2
# On a terminal uv shows how far it is: with PyTorch, that are gigabytes.
quiet=-q
[ ! -t 2 ] || quiet=
"$venv/bin/uv" pip sync $quiet --python "$venv/bin/python" $locks
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps -e .
[ ! -t 2 ] || echo "next: . $venv/bin/activate && inv doctor" >&2
