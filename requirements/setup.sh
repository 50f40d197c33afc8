#!/bin/sh
# Set up the virtual environment $1 from the lock requirements/$2.txt; its stamp $1/ready-$2 is written last.
set -eu
venv=$1
lock=$2
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME || true
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        # TensorFlow has builds for these versions only.
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "Morrow needs Python 3.11, 3.12 or 3.13, because TensorFlow has no build for others."
    for candidate in ${PYTHON:-python3}; do
        say "Found: $candidate is $("$candidate" --version 2>/dev/null || echo 'not there')."
    done
    say "Install one of them, or name it: make PYTHON=/path/to/python3.12 ..."
    exit 1
}

create() {
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$python comes without its venv module. On Debian and Ubuntu: apt install python3-venv"
        exit 1
    fi
    [ ! -e "$venv" ] || say "Replacing $venv: its setup was not finished."
    rm -rf "$venv"
    say "Creating $venv with $("$python" --version) ..."
    "$python" -m venv "$venv"
}

is_whole() {
    ls "$venv"/ready-* >/dev/null 2>&1 && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

# Only a finished setup is built upon: pip does not notice a package that was half written.
is_whole || create
rm -f "$venv"/ready-*

say "Installing requirements/$lock.txt (the first time takes a few minutes) ..."
# Two q: errors only.
"$venv/bin/python" -m pip install -qq --no-compile --require-hashes --only-binary :all: -r "requirements/$lock.txt"
"$venv/bin/python" -m pip install -qq --no-compile --no-deps --no-build-isolation --no-index --editable .

say "Compiling ..."
# All cores at once, which pip does not do. Packages may carry templates that are no Python; our own files may not.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || true
if ! "$venv/bin/python" -m compileall -q -j 0 app >&2; then
    say "Not all files could be compiled, as told above; the next make sets up anew."
    exit 1
fi

touch "$venv/ready-$lock"
[ "$lock" != dev ] || touch "$venv/ready-run" # the development lock holds all of the other
say "Ready."
