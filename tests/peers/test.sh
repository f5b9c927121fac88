#!/usr/bin/env bash
# Exported and imported networks beside ONNX Runtime, clusters beside scikit-learn: tests/peers/test.sh BUILD_DIR   (make test-peers)
# Installs ONNX Runtime into build/venv-oracle (PyPI, pinned; about 260 MB) and scikit-learn into build/venv-clusters. The last line is
# "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/peers/test.sh BUILD_DIR}
venv=build/venv-oracle

. tests/peers/venv.sh
make_venv $venv tests/peers/oracle.txt
make_venv $clusters tests/peers/clusters.txt
"$build/visavis" model fetch --if-missing
passed=0 failed=0
check() { # a Python of a venv and a script with its arguments; its last line is "N passed, N failed"
    local closing
    closing=$("$@" | tee /dev/stderr | tail -n 1) || true
    if [[ $closing =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    else
        echo "test-peers: $2 has no closing line"
        failed=$((failed + 1))
    fi
}
for which in export import; do
    check $venv/bin/python tests/peers/${which}_check.py --visavis "$build/visavis" --shared ../shared
done
check $clusters/bin/python tests/peers/cluster_check.py --driver "$build/tests/peers/cluster_driver" \
    --visavis "$build/visavis" --shared ../shared
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
