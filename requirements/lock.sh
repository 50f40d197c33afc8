#!/bin/sh
# Resolve every lock from pyproject.toml. All follow dev.txt, so that what is tested is what runs.
set -eu

resolve() {
    name=$1
    shift
    echo "requirements/$name.txt" >&2
    uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        "$@" --output-file "requirements/$name.txt"
}

compile() {
    resolve "$@" --group build pyproject.toml
}

command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv" >&2; exit 1; }
compile dev --extra api --extra worker --extra scale --group dev
compile run --constraint requirements/dev.txt --extra api --extra worker --extra postgres
compile api --constraint requirements/dev.txt --extra api --extra scale
compile worker --constraint requirements/dev.txt --extra worker --extra scale
compile gpu --constraint requirements/dev.txt --extra gpu --extra scale
resolve audit --constraint requirements/dev.txt --group audit

# PyTorch for Linux asks for all libraries of a GPU. It starts on a CPU without these, which are a gigabyte.
unneeded=
for package in triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cuda-cccl nvidia-cuda-cupti nvidia-cusolver nvidia-nvtx; do
    unneeded="$unneeded --no-emit-package $package"
done
# shellcheck disable=SC2086 # words are meant
resolve bench --constraint requirements/dev.txt --group bench $unneeded
