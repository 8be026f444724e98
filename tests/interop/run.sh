#!/bin/sh
# run.sh MODEL_LOGITS WORK_DIRECTORY - the PyTorch interoperability test with $LETHE_PYTHON or python3; 77 = skipped.
python=${LETHE_PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || { echo "skipped: no $python"; exit 77; }
exec "$python" "$(dirname "$0")/test_pytorch.py" "$@"
