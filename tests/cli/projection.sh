# `train projection`, sourced by run.sh: a collection of vectors in which a person is known by few of the 128 dimensions, so that a
# projection helps by construction; the model that it makes, on a real picture; and two refusals.
run "train projection without a word" 2 train projection
run "train projection, no name" 2 train projection --images x --dim 8
says "train projection, no name" "--name"
run "train projection, two sources" 2 train projection --images x --collection y --dim 8 --name z
run "train projection, a preset" 2 train projection --images x --dim 8 --name z --average none
says "train projection, a preset" "--average"

# DIR, recipe, how strongly a person's vectors are alike: an export for `db import`
synthetic_collection() {
    python3 - "$@" <<'PY'
import array, json, os, random, struct, sys
out, recipe, own = sys.argv[1], sys.argv[2], float(sys.argv[3])
people, each, dim, signal, now = 120, 4, 128, 8, 1764100000000
r = random.Random(5)
new = lambda: '0' + ''.join(r.choice('0123456789ABCDEFGHJKMNPQRSTVWXYZ') for _ in range(25))
os.makedirs(out)
name = os.path.basename(out)
put = lambda f, o: f.write(json.dumps(o) + '\n')
with open(out + '/collection.json', 'w') as f:
    put(f, {'format': 'visavis-collection-1', 'id': new(), 'name': name, 'model': 'dlib-resnet', 'recipe': recipe, 'dim': dim,
            'rule': 'max', 'rule_top': 1, 'min_quality': 0.0, 'thumbnails': False, 'photos': False, 'ttl_days': 0,
            'calibration': None, 'metadata': {}, 'created_ms': now, 'updated_ms': now})
with open(out + '/identities.jsonl', 'w') as ids, open(out + '/examples.jsonl', 'w') as examples, \
        open(out + '/embeddings.npy', 'wb') as vectors:
    header = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (people * each, dim)).ljust(117) + '\n'
    vectors.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
    for p in range(people):
        who, face = new(), [own * r.gauss(0, 1) for _ in range(signal)]
        put(ids, {'id': who, 'name': 'person %d' % p, 'external_id': None, 'metadata': {}, 'tags': [], 'version': 1,
                  'created_ms': now, 'updated_ms': now})
        for _ in range(each):
            v = [a + 0.3 * r.gauss(0, 1) for a in face] + [0.3 * r.gauss(0, 1) for _ in range(dim - signal)]
            n = sum(a * a for a in v) ** 0.5
            vectors.write(array.array('f', [a / n for a in v]).tobytes())
            put(examples, {'id': new(), 'identity': who, 'precision': 'f32', 'box': None, 'points': None, 'quality': None,
                           'source': None, 'thumbnail': False, 'photo': False, 'created_ms': now})
PY
}

if [ -r "$models/dlib-resnet.safetensors" ] && [ -d $faces ]; then
    p=$work/projection
    mkdir -p "$p/models"
    cp "$models"/{mtcnn-p,mtcnn-r,mtcnn-o,dlib-5point,dlib-resnet}.safetensors "$p/models"
    here=(--models "$p/models" --threads 1)
    run "collection create" 0 collection create empty --data "$p/data" "${here[@]}"
    recipe=$(grep -o '"recipe":"[0-9a-f]*' "$work/out" | cut -d'"' -f4)
    for c in alike nobody; do
        synthetic_collection "$p/$c" "$recipe" "$([ $c = alike ] && echo 1 || echo 0)"
        run "db import $c" 0 db import "$p/$c" --data "$p/data"
    done
    from=(train projection --data "$p/data" --steps 60 "${here[@]}")
    run "train projection" 0 "${from[@]}" --collection alike --dim 16 --name narrow
    holds "train projection" 'lines[0]["saved"] and lines[0]["calibrated"] and lines[0]["after"]["eer"] < 0.5 * lines[0]["before"]["eer"]
        and lines[0]["data"]["train"]["people"] + lines[0]["data"]["held_out"]["people"] == 120 and "/" not in lines[0]["command"]'
    run "train projection, name taken" 2 "${from[@]}" --collection alike --dim 16 --name narrow
    says "train projection, name taken" "narrow already"
    run "train projection, too many dimensions" 2 "${from[@]}" --collection alike --dim 129 --name wide
    run "train projection, nothing to learn" 1 "${from[@]}" --collection nobody --dim 16 --name nothing
    says "train projection, nothing to learn" "not saved"
    holds "train projection, nothing to learn" 'not lines[0]["saved"] and "before" in lines[0] and "after" in lines[0]'
    if [ ! -e "$p/models/nothing.safetensors" ]; then ok; else bad "train projection" "saved what it refused"; fi
    # eight people: the base tells the five that are held out apart without a mistake, there is nothing to be better at
    run "train projection, pictures" 1 train projection --images $faces/cast --dim 64 --steps 20 --held-out 0.5 --name cast "${here[@]}"
    holds "train projection, pictures" 'lines[0]["data"]["train"]["pictures"] + lines[0]["data"]["held_out"]["pictures"] == 40
        and lines[0]["before"]["eer"] == 0 and not lines[0]["saved"]'
    run "train projection, nobody there" 2 "${from[@]}" --collection empty --dim 16 --name nothing
    run "train projection, another recipe" 2 "${from[@]}" --collection alike --dim 4 --name n --model narrow
    says "train projection, another recipe" "recipe"

    run "model show, projection" 0 model show narrow --verify --models "$p/models"
    holds "model show, projection" 'lines[0]["role"] == "embedder" and lines[0]["dimension"] == 16'
    run "verify, projection" 0 verify "$gul" "$gul" --model narrow "${here[@]}"
    holds "verify, projection" 'lines[0]["similarity"] > 0.999'
    "$binary" embed "$gul" --face main "${here[@]}" >"$p/base.json" 2>/dev/null
    run "embed, projection" 0 embed "$gul" --face main --model narrow "${here[@]}"
    # all crops averaged, it is the matrix times the base's embedding, of unit length
    if python3 - "$p/base.json" "$work/out" "$p/models/narrow.safetensors" <<'PY'; then ok; else bad "embed, projection" "not W x"; fi
import array, json, struct, sys
x, y = (json.loads(open(f).readline())['faces'][0]['embedding'] for f in sys.argv[1:3])
raw = open(sys.argv[3], 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
at = next(v for k, v in json.loads(raw[8:8 + n]).items() if k.startswith('visavis.projection.'))
w = array.array('f', raw[8 + n + at['data_offsets'][0]:8 + n + at['data_offsets'][1]])
z = [sum(w[i * 128 + k] * x[k] for k in range(128)) for i in range(16)]
length = sum(a * a for a in z) ** 0.5
sys.exit(not (at['shape'] == [16, 128] and max(abs(a / length - b) for a, b in zip(z, y)) < 1e-5))
PY
    run "collection of a projection" 0 collection create narrow --data "$p/data" --model narrow "${here[@]}"
    holds "collection of a projection" 'lines[0]["dimension"] == 16 and lines[0]["model"] == "narrow"'
    run "enrol, projection" 0 enrol narrow Gul "$gul" --data "$p/data" --model narrow "${here[@]}"
    rm -rf "$p"
else
    echo "SKIPPED: train projection on vectors: no models in $models, or no $faces"
    skipped=$((skipped + 1))
fi
