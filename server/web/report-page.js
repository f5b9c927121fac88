/* The head of the page, the chosen face, how it was done; and what the keys and the pointer do. */
const METHODS = {auto: 'chosen automatically', kmeans: 'k-means', average: 'average linkage', complete: 'complete linkage',
                 dbscan: 'DBSCAN', hdbscan: 'HDBSCAN', whispers: 'Chinese Whispers'};

function drawHead() {
  const s = report.summary, t = report.truth, figures = byId('figures');
  const figure = (name, value) => figures.append(el('div', {}, el('dt', {}, name), el('dd', {}, value)));
  byId('title').textContent = report.title || 'Clusters';
  byId('about').append([`Algorithm: ${METHODS[report.algorithm] ?? report.algorithm}`,
    report.model ? `model ${report.model}` : null, report.cut === null ? null : `cut ${number(report.cut, 4)}`,
    report.created ? report.created.slice(0, 16).replace('T', ' ') + ' UTC' : null].filter(Boolean).join(' · '));
  if (s.photos) figure('photographs', s.photos.toLocaleString('en'));
  figure('faces', s.faces.toLocaleString('en'));
  figure('clusters', s.clusters.toLocaleString('en'));
  figure('in no cluster', s.outliers.toLocaleString('en'));
  if (s.silhouette !== null) figure('mean silhouette', number(s.silhouette));
  if (t) {
    figure('B-cubed F', number(t.bcubed_f, 4));
    figure('adjusted Rand', number(t.ari, 4));
    figure('purity', number(t.purity, 4));
  }
  for (const section of document.querySelectorAll('main > section')) {
    if (!section.hidden) byId('parts').append(el('li', {}, el('a', {href: '#' + section.id}, section.querySelector('h2').textContent)));
  }
}

function drawMethod() {
  const parent = byId('method'), c = report.constraints, t = report.truth, said = [];
  table(parent, ['Parameter', 'Value', 'Why'], report.parameters.length, k => {
    const p = report.parameters[k];
    return [p.name, p.value, el('td', {class: 'why'}, p.why)];
  }, 'parameters');
  if (report.cut_fmr !== null) said.push(`At this cut one pair of strangers in ${Math.round(1 / report.cut_fmr).toLocaleString('en')} ` +
    `would be taken for one person${report.calibration ? ` (measured: ${report.calibration})` : ''}.`);
  if (c.apart_pairs) said.push(`${plural(c.apart_pairs, 'pair')} of faces may not be together.`);
  if (c.together) said.push(`${plural(c.together, 'group')} of faces stay together.`);
  if (c.conflicts) said.push(`${plural(c.conflicts, 'pair')} may not and must: they are together.`);
  if (c.ignored) said.push('This algorithm does not know constraints: they were ignored.');
  if (t) said.push(`Of ${plural(t.faces, 'face')} of ${plural(t.people, 'person', 'people')} it is known whose they are: purity ` +
    `${number(t.purity, 4)}; B-cubed precision ${number(t.bcubed_precision, 4)}, recall ${number(t.bcubed_recall, 4)}, F ` +
    `${number(t.bcubed_f, 4)}; adjusted Rand index ${number(t.ari, 4)}; normalised mutual information ${number(t.nmi, 4)}.`);
  if (report.recipe) said.push(`Recipe ${report.recipe}${report.precision ? ', ' + report.precision : ''}.`);
  for (const sentence of said) parent.append(el('p', {}, sentence));
  if (report.tried.length) {
    parent.append(el('h3', {}, 'Numbers of clusters that were tried'));
    table(parent, ['k', 'Score', 'Spread'], report.tried.length,
          k => [report.tried[k].k, number(report.tried[k].score, 4), number(report.tried[k].spread, 4)], 'numbers');
  }
}

function drawDetail(i) {
  const parent = byId('detail');
  for (const b of document.querySelectorAll('.face.chosen')) b.classList.remove('chosen');
  if (i === null) {
    parent.replaceChildren(el('p', {class: 'hint'}, 'Point at a face, or go to one with the keys, to see what it is.'));
    return;
  }
  for (const b of document.querySelectorAll(`.face[data-face="${i}"]`)) b.classList.add('chosen');
  const f = faces[i], rows = el('dl');
  const row = (name, value) => value === null || rows.append(el('dt', {}, name), el('dd', {}, value));
  row('name', f.name && apart(f.name));
  row('known as', f.truth && apart(f.truth));
  row('silhouette', f.silhouette === null ? null : number(f.silhouette));
  row('strength', f.probability === null ? null : number(f.probability));
  row('quality', f.quality === null ? null : number(f.quality, 2));
  row('face', String(i));
  row('box', f.box && f.box.map(v => Math.round(v)).join(', '));
  row('kept', chosen.kept === i ? 'yes (Escape lets go)' : null);
  parent.replaceChildren(picture(i), el('p', {}, apart(faceName(i))), el('p', {}, clusterChip(f.cluster)), rows);
}

function layouts() {
  const c = report.coordinates, choices = [], parent = byId('layouts');
  if (c.layout) choices.push(['layout', 'Neighbours (t-SNE)', 'Neighbours lie near each other; how far apart groups are says little ' +
    `(t-SNE, perplexity ${number(c.layout.perplexity, 0)}).`]);
  choices.push(['pca', 'Principal components', 'The first two principal components show ' +
    `${number(100 * (c.pca.explained[0] + c.pca.explained[1]), 0)} % of the variance; faces that lie together here may be far apart.`]);
  for (const [key, name, note] of choices) {
    const choose = () => {
      plot.layout(key);
      byId('map-note').textContent = note;
    };
    const input = el('input', {type: 'radio', name: 'layout', value: key, checked: key === plot.key(), onchange: choose});
    parent.append(el('label', {}, input, ' ', name));
    if (key === plot.key()) byId('map-note').textContent = note;
  }
}

/* Where the keys go from: the face that is shown, or the first one. */
function step(dx, dy) {
  const from = chosen.shown ?? chosen.kept;
  const to = from === null ? 0 : plot.neighbour(from, dx, dy) ?? from;
  show(to);
  plot.reach(to);
}
function stepCluster(by) {
  if (!clusters.length) return;
  const from = chosen.shown ?? chosen.kept, c = from === null ? null : faces[from].cluster;
  const next = c === null ? (by > 0 ? 0 : clusters.length - 1) : (c + by + clusters.length) % clusters.length;
  show(clusters[next].medoid);
  plot.reach(clusters[next].medoid);
}
const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  PageDown: () => stepCluster(1), PageUp: () => stepCluster(-1), Enter: () => keep(chosen.shown ?? chosen.kept),
  ' ': () => keep(chosen.shown ?? chosen.kept), '+': () => plot.zoomBy(1.4), '=': () => plot.zoomBy(1.4), '-': () => plot.zoomBy(1 / 1.4),
  0: () => plot.reset(),
};

function listen() {
  const canvas = plot.canvas, place = e => [e.offsetX, e.offsetY];
  let held = null, moved = false;
  canvas.addEventListener('pointerdown', e => {
    held = place(e);
    moved = false;
    if (e.pointerType === 'mouse') canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener('pointermove', e => {
    const [x, y] = place(e);
    if (held) {
      if (!moved && Math.hypot(x - held[0], y - held[1]) < 4) return;
      moved = true;
      plot.moveBy(x - held[0], y - held[1]);
      held = [x, y];
      return;
    }
    const i = plot.faceAt(x, y);
    canvas.classList.toggle('over', i !== null);
    show(i);
  });
  canvas.addEventListener('pointerup', e => {
    if (held && !moved) keep(plot.faceAt(...place(e)));
    held = null;
  });
  canvas.addEventListener('pointercancel', () => held = null);
  canvas.addEventListener('pointerleave', () => show(null));
  canvas.addEventListener('dblclick', e => plot.zoomBy(2, ...place(e)));
  canvas.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey) return; /* the page scrolls */
    e.preventDefault();
    plot.zoomBy(Math.exp(-e.deltaY / 300), ...place(e));
  }, {passive: false});
  canvas.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey || !Object.hasOwn(KEYS, e.key)) return;
    e.preventDefault();
    KEYS[e.key]();
  });
  canvas.addEventListener('blur', () => show(null));
  addEventListener('keydown', e => e.key === 'Escape' && keep(null));
  byId('zoom-in').addEventListener('click', () => plot.zoomBy(1.4));
  byId('zoom-out').addEventListener('click', () => plot.zoomBy(1 / 1.4));
  byId('zoom-fit').addEventListener('click', () => plot.reset());
}

layouts();
drawStrips();
drawLists();
drawSilhouette();
drawDendrogram();
drawMethod();
drawHead();
chosen.listeners.push(drawDetail);
drawDetail(null);
listen();
plot.resize();
