#!/bin/sh
# run.sh SCRIPT PROGRAM WORK_DIRECTORY - an interoperability test with $LETHE_PYTHON or python3; 77 = skipped.
python=${LETHE_PYTHON:-python3}
script=$1
shift
command -v "$python" >/dev/null 2>&1 || { echo "skipped: no $python"; exit 77; }
exec "$python" "$(dirname "$0")/$script" "$@"
