/* Silhouettes (Rousseeuw 1987): a blade for each cluster, its faces from the best placed to the worst.
 * What points left lies nearer to another cluster. */
function drawSilhouette() {
  const WIDTH = 900, LEFT = 170, RIGHT = 20, TOP = 8, BOTTOM = 28, GAP = 5, NAME_MIN = 11;
  const parent = byId('silhouette'), placed = faces.filter(f => f.cluster !== null && f.silhouette !== null);
  const shown = clusters.filter(c => c.silhouette !== null);
  parent.hidden = !shown.length;
  if (!shown.length) return;

  const gap = shown.length > 60 ? 1 : GAP;
  const row = Math.max(Math.min(640 / placed.length, 8), 0.1);
  const height = TOP + BOTTOM + placed.length * row + shown.length * gap;
  const low = Math.min(0, ...shown.map(c => Math.min(...c.members.map(m => faces[m].silhouette))));
  const from = low < 0 ? Math.floor(low * 5) / 5 : 0;
  const x = v => LEFT + (WIDTH - LEFT - RIGHT) * (v - from) / (1 - from);
  const picture = svg('svg', {viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: 'img',
    'aria-label': `Silhouettes of ${plural(shown.length, 'cluster')}, mean ${number(report.summary.silhouette)}`});

  for (let tick = Math.round(from * 5); tick <= 5; tick++) {
    picture.append(svg('line', {class: 'grid', x1: x(tick / 5), x2: x(tick / 5), y1: TOP, y2: height - BOTTOM}),
                   svg('text', {class: 'faint', x: x(tick / 5), y: height - 9, 'text-anchor': 'middle'}, (tick / 5).toFixed(1)));
  }
  let y = TOP;
  for (const c of shown) {
    const members = [...c.members].sort((a, b) => faces[b].silhouette - faces[a].silhouette), top = y;
    let d = `M${x(0)} ${y}`;
    for (const m of members) {
      d += `H${x(faces[m].silhouette).toFixed(1)}v${row}`;
      y += row;
    }
    const pick = e => {
      const box = picture.getBoundingClientRect(), at = ((e.clientY - box.top) * height / box.height - top) / row;
      return members[Math.max(0, Math.min(members.length - 1, Math.floor(at)))];
    };
    picture.append(coloured(svg('path', {class: 'blade', d: `${d}H${x(0)}Z`, onmousemove: e => show(pick(e)),
      onmouseleave: () => show(null), onclick: e => keep(pick(e))}, svg('title', {}, `${clusterName(c.cluster)}: ${number(c.silhouette)}`)),
      c.cluster));
    if (y - top >= NAME_MIN) {
      const name = clusterName(c.cluster);
      picture.append(svg('text', {x: LEFT - 10, y: (top + y) / 2 + 4, 'text-anchor': 'end'},
                         name.length > 22 ? name.slice(0, 21) + '…' : name));
    }
    y += gap;
  }
  const mean = report.summary.silhouette;
  if (mean !== null) picture.append(svg('line', {class: 'mean', x1: x(mean), x2: x(mean), y1: TOP, y2: height - BOTTOM}));
  parent.append(el('p', {class: 'hint'}, 'How much nearer each face is to its own cluster than to the next: 1 is far from the others, ' +
    `below 0 lies nearer to another. The dashed line is the mean, ${number(mean)}.`), el('div', {class: 'wide'}, picture));
}
