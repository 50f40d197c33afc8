#!/bin/sh
# Set up the virtual environment $1 with the libraries that `make bench` measures beside, by the Python $2.
# Where they cannot be had the bench goes on without them, and its rows say so: this script never fails.
set -u
venv=$1
python=$2
unset PYTHONPATH PYTHONHOME || true
export PIP_DISABLE_PIP_VERSION_CHECK=1

! cmp -s requirements/bench.txt "$venv/ready" || exit 0
rm -rf "$venv"
echo "Installing requirements/bench.txt, 2 GB, in $venv (a few minutes) ..." >&2
# Without dependencies: the lock leaves out what only a GPU needs.
if "$python" -m venv "$venv" &&
    "$venv/bin/python" -m pip install -qq --no-compile --no-deps --require-hashes --only-binary :all: --retries 1 \
        -r requirements/bench.txt &&
    "$venv/bin/python" -c "import torch"; then
    cp requirements/bench.txt "$venv/ready"
else
    rm -rf "$venv"
    echo "PyTorch cannot be installed: its rows will say that it is not available." >&2
fi
