/* The clusters one by one, and the lists of what wants a decision. */
function drawStrips() {
  const FACES = 40, STRIPS = 30, parent = byId('clusters'), list = el('div');
  const strip = c => {
    const s = clusters[c], row = el('ul', {class: 'faces'});
    const more = listing(row, s.members.length, FACES, k => el('li', {}, faceButton(s.members[k])), 'faces');
    const numbers = [`${plural(s.size, 'face')}`, `cohesion ${number(s.cohesion)}`, `least ${number(s.least)}`,
                     `silhouette ${number(s.silhouette)}`];
    const away = s.nearest === null ? null
                                    : el('span', {}, `separation ${number(s.separation)} from `, apart(clusterName(s.nearest)));
    return coloured(el('article', {class: 'strip', 'data-cluster': c, 'aria-label': clusterName(c)},
                       el('header', {}, el('h3', {}, clusterChip(c)),
                          el('span', {class: 'numbers'}, numbers.join(', '), away ? ', ' : '', away)),
                       row, more), c);
  };
  if (!clusters.length) {
    parent.append(el('p', {}, 'No two faces are near enough to be taken for one person.'));
    return;
  }
  parent.append(el('p', {class: 'hint'}, 'The most central face comes first. Cohesion is the mean similarity of a cluster’s pairs, ' +
    'least that of its odd one out; separation is one less the mean similarity to the nearest other cluster.'), list);
  parent.append(listing(list, clusters.length, STRIPS, strip, 'clusters'));
}

function table(parent, head, count, row, what) {
  const body = el('tbody');
  const more = listing(body, count, 60, k => el('tr', {}, row(k).map(c => c instanceof HTMLTableCellElement ? c : el('td', {}, c))), what);
  parent.append(el('div', {class: 'wide'},
                   el('table', {}, el('thead', {}, el('tr', {}, head.map(h => el('th', {scope: 'col'}, h)))), body)), more);
}
const nameCell = i => el('td', {class: 'name'}, apart(faceName(i)));

/* A part of the page without anything in it goes, and so does its link. */
function drawLists() {
  const {outliers, pairs, bridges, skipped} = report;

  byId('outliers').hidden = !outliers.length;
  table(byId('outliers'), ['Face', '', 'Nearest cluster', 'Mean similarity', 'Most similar face', 'Similarity'], outliers.length, k => {
    const o = outliers[k];
    return [faceButton(o.face), nameCell(o.face), o.nearest === null ? '–' : clusterChip(o.nearest), number(o.similarity),
            o.nearest_face === null ? '–' : faceButton(o.nearest_face), number(o.face_similarity)];
  }, 'faces');
  byId('pairs').hidden = !pairs.length;
  table(byId('pairs'), ['Clusters', '', 'Mean similarity', 'Their most similar faces', '', 'Similarity', ''], pairs.length, k => {
    const p = pairs[k];
    return [clusterChip(p.a), clusterChip(p.b), number(p.similarity), faceButton(p.face_a), faceButton(p.face_b), number(p.greatest),
            p.apart ? 'kept apart by a constraint' : ''];
  }, 'pairs');
  byId('bridges').hidden = !bridges.length && !report.bridges_skipped;
  table(byId('bridges'), ['Face', '', 'Cluster', 'Groups without it', 'Similarity between them'], bridges.length, k => {
    const b = bridges[k];
    return [faceButton(b.face), nameCell(b.face), clusterChip(b.cluster), `${b.parts[0]} and ${b.parts[1]}`, number(b.similarity)];
  }, 'faces');
  const left = (found, listed, what) => found > listed ? `${plural(found - listed, 'more ' + what)} not in this report.` : '';
  byId('pairs').append(el('p', {class: 'hint'}, left(report.pairs_found, pairs.length, 'pair')));
  byId('bridges').append(el('p', {class: 'hint'}, left(report.bridges_found, bridges.length, 'face'),
    report.bridges_skipped ? ` ${plural(report.bridges_skipped, 'cluster')} too large to look in.` : ''));
  byId('skipped').hidden = !skipped.length;
  table(byId('skipped'), ['File', 'Why', ''], skipped.length,
        k => [el('td', {class: 'name'}, apart(skipped[k].file ?? '')), skipped[k].message, skipped[k].code], 'files');
}
