#!/usr/bin/env bash
# Which crops to average: every variant on all pairs of View 1, a table line each (TAR at three false-match rates tells them
# apart better than accuracy), and the accuracy on DevTrain's own pairs. tests/bench/variants.sh [BUILD_DIR] [VARIANT...]
set -eu
cd "$(dirname "$0")/../.."
binary=${1:-build/release}/visavis
shift $(($# > 0))
lfw=../shared/data/faces/lfw-view1
[ -d $lfw ] || {
    echo "variants.sh: no $lfw here"
    exit 0
}
[ $# -gt 0 ] || set -- none mirror both-mirror mixed2 mixed4 crops16
printf '%-14s %8s %8s %8s %8s %9s %8s %9s\n' average 'eer %' 'TAR 1e-3' 'TAR 1e-4' 'TAR 1e-5' 'DevTrain %' 'lost' 'pictures/s'
for a in "$@"; do
    start=$(date +%s.%N)
    all=$("$binary" eval --all-pairs $lfw --exclude deploy/models/lfw-view1.exclude --average "$a" 2>/dev/null) || {
        printf '%-14s not known\n' "$a"
        continue
    }
    end=$(date +%s.%N)
    train=$("$binary" eval --pairs $lfw/pairsDevTrain.txt --images $lfw --average "$a")
    python3 - "$a" "$all" "$train" "$start" "$end" <<'PY'
import json, sys
a, all_, train = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
tar = all_["tar_at_fmr"]
print("%-14s %8.3f %8.2f %8.2f %8.2f %9.2f %8d %9.1f" % (a, 100 * all_["eer"], *(100 * tar[r]["tar"] for r in ("0.001", "0.0001", "0.00001")),
      100 * train["accuracy"], len(all_["lost_images"]), all_["images"] / (float(sys.argv[5]) - float(sys.argv[4]))))
PY
done
