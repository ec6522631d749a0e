#!/bin/sh
# Find a Python of 3.11 or newer that really starts, and let bootstrap.py make the environment with it.
set -eu
here=$(dirname "$0")
works() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
for python in ${PYTHON:-} .venv/bin/python python3.11 python3.12 python3.13 python3.14 python3 python; do
    if works "$python"; then
        exec "$python" "$here/bootstrap.py" "$@"
    fi
done
echo 'Sideline needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3.11 run' >&2
exit 1
