#!/usr/bin/env bash
# Exported and imported networks beside ONNX Runtime: tests/peers/test.sh BUILD_DIR   (make test-peers)
# Installs ONNX Runtime into build/venv-oracle (PyPI, pinned; about 260 MB). Each of the two checks ends with
# "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/peers/test.sh BUILD_DIR}
venv=build/venv-oracle

if [ ! -e $venv/ready ] || ! cmp -s tests/peers/oracle.txt $venv/ready; then
    echo "test-peers: installing ONNX Runtime into $venv"
    # Debian's python3 by path; it has no ensurepip without python3-venv, so that pip is borrowed from python3-pip.
    /usr/bin/python3 -m venv --without-pip $venv
    /usr/bin/python3 -m pip --python $venv/bin/python install -q -r tests/peers/oracle.txt
    cp tests/peers/oracle.txt $venv/ready
fi
"$build/visavis" model fetch --if-missing
failed=0
for check in export import; do
    $venv/bin/python tests/peers/${check}_check.py --visavis "$build/visavis" --shared ../shared || failed=1
done
exit $failed
