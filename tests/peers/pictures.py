"""The two sets of pictures that tests/peers measures on: 200 of LFW View 1 as they are (250x250), and 200 of mixed sizes.

The mixed ones are cut from the group, cast and LFW pictures: other sizes (150 to 1400 pixels on the long side), other aspect
ratios (1:2 to 2:1), other JPEG qualities and a few PNG. Fixed seed: the same 200 on every run."""
import os
import random

from PIL import Image

COUNT = 200


def lfw(folder):
    people = sorted(d for d in os.listdir(os.path.join(folder, 'lfw-view1'))
                    if os.path.isdir(os.path.join(folder, 'lfw-view1', d)))
    files = [os.path.join(folder, 'lfw-view1', p, f) for p in people
             for f in sorted(os.listdir(os.path.join(folder, 'lfw-view1', p))) if f.endswith('.jpg')]
    return files[::len(files) // COUNT][:COUNT]


def mixed(folder, out):
    os.makedirs(out, exist_ok=True)
    rnd = random.Random(1)
    groups = [os.path.join(folder, d, f) for d in ('groups', 'cast') for f in sorted(os.listdir(os.path.join(folder, d)))
              if f.endswith('.jpg')]
    portraits = lfw(folder)
    made = []
    for i in range(COUNT):
        source = groups[i % len(groups)] if i % 2 else portraits[i]
        im = Image.open(source).convert('RGB')
        # A window of the wanted shape around the middle, as large as fits.
        aspect = 2 ** rnd.uniform(-1, 1)
        w, h = im.size
        cw, ch = (w, int(w / aspect)) if w / aspect <= h else (int(h * aspect), h)
        x, y = (w - cw) // 2, (h - ch) // 2
        im = im.crop((x, y, x + cw, y + ch))
        scale = 150 * (1400 / 150) ** rnd.random() / max(cw, ch)
        im = im.resize((max(1, round(cw * scale)), max(1, round(ch * scale))), Image.Resampling.BICUBIC)
        name = os.path.join(out, '%03d.%s' % (i, 'png' if i % 10 == 9 else 'jpg'))
        im.save(name, **({} if name.endswith('png') else {'quality': rnd.randint(60, 95)}))
        made.append(name)
    return made
