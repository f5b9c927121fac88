/* The merges of the linkage methods as a tree. Where there are too many faces to tell apart, only the
 * last merges are drawn, and what lies below them is one leaf. */
function drawDendrogram() {
  const HEIGHT = 360, TOP = 14, LEFT = 46, LEAF = 34, PITCH_MIN = 3, PITCH_MAX = 30, WIDTH = 1230, MERGES_MAX = 1500;
  const parent = byId('dendrogram'), merges = report.dendrogram, n = faces.length;
  parent.hidden = !merges || !merges.length;
  if (parent.hidden) return;

  const first = Math.max(0, merges.length - MERGES_MAX); /* merges before it are inside leaves */
  const isLeaf = node => node < n + first;
  const below = new Set(merges.slice(first).flatMap(m => [m[0], m[1]]));
  const roots = merges.map((_, k) => n + k).filter(node => !isLeaf(node) && !below.has(node));

  /* From left to right, without recursion: a chain of merges may be as deep as there are faces. */
  const leaves = [], place = new Map(), cluster = new Map();
  const stack = [...roots].reverse();
  while (stack.length) {
    const node = stack.pop();
    if (isLeaf(node)) leaves.push(node);
    else stack.push(merges[node - n][1], merges[node - n][0]);
  }
  const someFace = node => {
    while (node >= n) node = merges[node - n][0];
    return node;
  };
  const pitch = Math.max(PITCH_MIN, Math.min(PITCH_MAX, (WIDTH - LEFT) / leaves.length));
  const width = LEFT + pitch * leaves.length + 10, floor = HEIGHT - LEAF - 12;
  const greatest = Math.max(...merges.slice(first).map(m => m[2]), 1e-6);
  const y = distance => floor - (floor - TOP) * distance / greatest;
  leaves.forEach((node, k) => {
    place.set(node, [LEFT + pitch * (k + 0.5), y(node < n ? 0 : merges[node - n][2])]);
    cluster.set(node, faces[someFace(node)].cluster);
  });

  const picture = svg('svg', {viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img',
    'aria-label': `Tree of ${plural(merges.length, 'merge')}` + (report.cut === null ? '' : `, cut at a distance of ${number(1 - report.cut)}`)});
  for (let k = 0; k <= 4; k++) {
    picture.append(svg('line', {class: 'grid', x1: LEFT, x2: width, y1: y(greatest * k / 4), y2: y(greatest * k / 4)}),
                   svg('text', {class: 'faint', x: LEFT - 6, y: y(greatest * k / 4) + 4, 'text-anchor': 'end'}, number(greatest * k / 4, 2)));
  }
  const paths = new Map(); /* one for each cluster, and one for what lies above them */
  merges.slice(first).forEach(([a, b, distance], k) => {
    const [ax, ay] = place.get(a), [bx, by] = place.get(b), top = y(distance);
    const own = cluster.get(a) === cluster.get(b) ? cluster.get(a) : null;
    place.set(n + first + k, [(ax + bx) / 2, top]);
    cluster.set(n + first + k, own ?? null);
    const d = `M${ax.toFixed(1)} ${ay.toFixed(1)}V${top.toFixed(1)}H${bx.toFixed(1)}V${by.toFixed(1)}`;
    paths.set(own ?? null, (paths.get(own ?? null) || '') + d);
  });
  for (const [c, d] of paths) picture.append(coloured(svg('path', {class: c === null ? 'tree above' : 'tree', d}), c));
  if (report.cut !== null && 1 - report.cut < greatest) {
    picture.append(svg('line', {class: 'mean', x1: LEFT, x2: width, y1: y(1 - report.cut), y2: y(1 - report.cut)}));
  }
  leaves.forEach((node, k) => {
    if (node >= n || pitch < 12 || !hasPicture(node)) return;
    const size = Math.min(pitch - 2, LEAF - 4);
    picture.append(svg('image', {class: 'leaf', href: pictureUrl(node), x: LEFT + pitch * (k + 0.5) - size / 2, y: floor + 6,
      width: size, height: size, onmouseenter: () => show(node), onmouseleave: () => show(null), onclick: () => keep(node)},
      svg('title', {}, faceName(node))));
  });
  parent.append(el('p', {class: 'hint'}, 'Faces at the bottom; two groups meet at the distance between them (1 − similarity).',
    report.cut === null ? '' : ` The dashed line is the cut, ${number(1 - report.cut)}.`,
    first ? ` Only the last ${plural(MERGES_MAX, 'merge')} of ${merges.length.toLocaleString('en')} are drawn.` : ''),
    el('div', {class: 'wide', tabindex: 0, role: 'group', 'aria-label': 'Dendrogram, scrolls sideways'}, picture));
}
