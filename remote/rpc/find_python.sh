# Looks for a Python 3.8 or newer, links it into the toolkit's cache, and answers on standard output:
# ==remote-python== <version of python3, if there is one> <what was linked, if anything>
# Read by sh on a server whose python3 is old or missing; holds no value of anybody's.
names='python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3'
uv="${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"
link="$HOME/.cache/remote-gpu-workflow/python3"

# Prints the full path of a Python that is new and whole enough: no shim of a version manager, which
# would ask anew each time what it stands for.
real() {
    "$1" -c 'import sys
sys.version_info >= (3, 8) or sys.exit(1)
import ctypes, os, sqlite3
print(os.path.realpath(sys.executable))' </dev/null 2>/dev/null
}

candidates() {
    for name in $names; do command -v "$name"; done
    for folder in "$HOME/.local/bin" /usr/local/bin /opt/*/bin "$HOME/miniconda3/bin" \
        "$HOME/anaconda3/bin" "$HOME/miniforge3/bin" /opt/conda/bin "$uv"/*/bin; do
        for name in $names; do [ -x "$folder/$name" ] && printf '%s\n' "$folder/$name"; done
    done
}

first() {
    candidates | while IFS= read -r candidate; do
        found=$(real "$candidate") && [ -x "$found" ] && printf '%s\n' "$found" && break
    done
}

# Where the link is not taken for python3 any more, it is found anew.
rm -f "$link"
found=$(first)
if [ -n "$found" ]; then
    mkdir -p "${link%/*}" && ln -s "$found" "$link.$$" && mv -f "$link.$$" "$link" || found=
fi
version=$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' </dev/null 2>/dev/null)
printf '\n==remote-python== %s %s\n' "$version" "$found"
