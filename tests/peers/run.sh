#!/usr/bin/env bash
# visavis beside the Python programs it replaces, on one core, in one run: tests/peers/run.sh BUILD_DIR   (make bench-peers)
# Installs the peers into build/venv (PyPI, pinned; about 3 GB because PyPI's torch carries its GPU libraries) and their models
# into build/venv/models. Needs ../shared for the pictures; without it there is nothing to compare and it says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:?usage: tests/peers/run.sh BUILD_DIR}
venv=build/venv

if [ ! -d ../shared/data/faces/lfw-view1 ]; then
    echo "bench-peers: skipped: ../shared/data/faces/lfw-view1 is not here"
    exit 0
fi
if [ ! -e $venv/ready ] || ! cmp -s tests/peers/requirements.txt $venv/ready; then
    echo "bench-peers: installing the peers into $venv"
    # Debian's python3 by path; it has no ensurepip without python3-venv, so that pip is borrowed from python3-pip.
    /usr/bin/python3 -m venv --without-pip $venv
    /usr/bin/python3 -m pip --python $venv/bin/python install -q -r tests/peers/requirements.txt
    # The weights of the peer: pip checks the hash before it unpacks anything.
    rm -rf $venv/models && mkdir -p $venv/models
    /usr/bin/python3 -m pip download -q --no-deps --require-hashes -d $venv/models -r tests/peers/models.txt
    tar -xzf $venv/models/*.tar.gz -C $venv/models --strip-components=3 --wildcards '*/models/*.dat'
    rm $venv/models/*.tar.gz
    cp tests/peers/requirements.txt $venv/ready
fi
"$build/visavis" model fetch --if-missing
models=${VISAVIS_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/visavis/models}
$venv/bin/python tests/peers/compare.py --visavis "$build/visavis" --bench-face "$build/tests/bench/bench_face" \
    --models $venv/models --pictures ../shared/data/faces --work build/peers
$venv/bin/python tests/peers/compare_vgg.py --visavis "$build/visavis" --work build/peers-vgg \
    "$models"/{mtcnn-p,mtcnn-r,mtcnn-o,dlib-5point}.safetensors
$venv/bin/python tests/peers/serve_vgg.py --visavis "$build/visavis" --work build/peers-vgg
# Clusters, on all cores. 50,000 rows take scikit-learn many minutes: VISAVIS_BENCH_CLUSTERS=10000,50000.
. tests/peers/venv.sh
make_venv $clusters tests/peers/clusters.txt
$clusters/bin/python tests/peers/cluster_bench.py --driver "$build/tests/peers/cluster_driver" \
    --n "${VISAVIS_BENCH_CLUSTERS:-10000}"
