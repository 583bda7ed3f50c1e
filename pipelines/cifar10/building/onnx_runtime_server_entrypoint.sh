#!/bin/sh
# Start the server that lies beside this script. HOST, PORT and PYTHON (a Python that has what
# requirements.txt names) may be set.
set -eu
cd "$(dirname "$0")"
exec "${PYTHON:-python3}" -m uvicorn server:app --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}"
