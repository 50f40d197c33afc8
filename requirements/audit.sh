#!/bin/sh
# Write what is in each image to build/sbom-*.json (CycloneDX), and ask whether any of it has a known vulnerability.
# $1 is the virtual environment of the tools, $2 the Python to make it with.
# Ends with 0: all was judged, and nothing is known; 3: something is; 75: not all could be judged; 1: no bill was made.
set -eu
venv=${1:-.venv-audit}
python=${2:-python3}
unset PYTHONPATH PYTHONHOME || true
export PIP_DISABLE_PIP_VERSION_CHECK=1

if ! cmp -s requirements/audit.txt "$venv/ready"; then
    rm -rf "$venv"
    echo "Installing requirements/audit.txt in $venv (half a minute) ..." >&2
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install -qq --require-hashes --only-binary :all: -r requirements/audit.txt
    cp requirements/audit.txt "$venv/ready"
fi

mkdir -p build
for lock in api worker; do
    "$venv/bin/python" -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --mc-type application \
        --output-reproducible --output-file "build/sbom-$lock.json" "requirements/$lock.txt"
done

code=0
for lock in api worker; do
    # Its exit code is not to be believed: what a service has never heard of is skipped, and passes.
    for service in pypi osv; do
        rm -f "build/audit-$lock.json"
        "$venv/bin/python" -m pip_audit --disable-pip --require-hashes --requirement "requirements/$lock.txt" \
            --vulnerability-service "$service" --progress-spinner off --timeout 10 \
            --format json --output "build/audit-$lock.json" 2> "build/audit-$lock.log" || true
        judged=0
        "$venv/bin/python" requirements/audit_verdict.py "$lock" "$service" build || judged=$?
        [ "$judged" -eq 75 ] || break
    done
    # A vulnerability outweighs what went wrong, and that what could not be judged.
    case $code.$judged in 3.* | *.0) ;; *.3) code=3 ;; 0.* | 75.*) code=$judged ;; esac
done
exit "$code"
