#!/bin/sh
# audit.sh BIN: look up known vulnerabilities of what the lock files name, once a day, and whenever
# they change: it takes a request for each package. Where that can't be done, a line says so, and it
# is no failure.
set -eu
bin=$1
# In an environment of its own: in the lock files, its dependencies would bind those of the extras.
audit() { "$bin/uvx" -q pip-audit@2.10.1 "$@"; }
stamp=$bin/../.audited
if [ -n "$(find "$stamp" -mtime -1 2>/dev/null)" ]; then
    [ -n "$(find requirements*.lock -newer "$stamp")" ] || exit 0
fi

not_audited() {
    echo "The lock files were not looked up among known vulnerabilities: $1"
    exit 0
}

# What pip-audit asks for each package. The alarm ends a look for the address, too, that hangs.
data='import json, signal, urllib.request
signal.alarm(2)
with urllib.request.urlopen("https://pypi.org/pypi/pip/25.0/json") as answer:
    json.load(answer)["vulnerabilities"]'

"$bin/python" -c "$data" >/dev/null 2>&1 || not_audited "pypi.org doesn't tell them here."
audit --version >/dev/null 2>&1 || not_audited "pip-audit can't be fetched."
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
# It takes each name once at a time, and lock files for several Pythons name several versions.
sed -n 's/^\([A-Za-z0-9._-]*==[^ ;\\]*\).*/\1/p' requirements*.lock | sort -u |
    awk -F== -v folder="$lists" '{ print > (folder "/" ++versions[$1]) }'
for list in "$lists"/*; do
    # Installers check the hashes.
    audit --disable-pip --no-deps --progress-spinner off -r "$list"
done
touch "$stamp"
