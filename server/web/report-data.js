'use strict';
/* The report, and what the other parts of the page share: names, colours, elements, and which face is
 * chosen. Everything that comes from the report becomes text by textContent or an attribute's value;
 * nothing of it is ever read as HTML. */
const report = JSON.parse(document.getElementById('report').textContent);
const faces = report.faces, clusters = report.clusters;

const GOLDEN_ANGLE = 137.508; /* as in server/report/paint.c */
const hueOf = c => (210 + GOLDEN_ANGLE * c) % 360;

const SVG = 'http://www.w3.org/2000/svg';
function fill(e, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined));
  return e;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = id => document.getElementById(id);

/* The element in the colour of cluster c (null: of none). */
function coloured(e, c) {
  e.classList.add(c === null ? 'of-none' : 'of-cluster');
  if (c !== null) e.style.setProperty('--hue', hueOf(c));
  return e;
}

const number = (v, digits = 3) => v === null || v === undefined ? '–' : v.toFixed(digits);
const plural = (n, one, many = one + 's') => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
/* Names come from anywhere: each is set apart, so that its direction does not turn what is around it. */
const apart = text => el('bdi', {}, text);

function clusterName(c) {
  if (c === null) return 'in no cluster';
  return clusters[c].label === null ? `Cluster ${c}` : `${c} · ${clusters[c].label}`;
}
function faceName(i) {
  const f = faces[i];
  return f.file ?? f.example ?? `face ${i}`;
}
const clusterChip = c => coloured(el('span', {class: 'chip'}, apart(clusterName(c))), c);

const hasPicture = i => faces[i].thumbnail !== undefined;
const pictureUrl = i => 'data:image/jpeg;base64,' + faces[i].thumbnail;
function picture(i) {
  return hasPicture(i) ? el('img', {src: pictureUrl(i), alt: '', loading: 'lazy', decoding: 'async'})
                       : el('span', {class: 'blank', 'aria-hidden': 'true'}, String(i));
}

/* The chosen face: shown while the pointer or the focus is on it, kept once it was clicked. */
const chosen = {shown: null, kept: null, listeners: []};
function tellChosen() {
  const i = chosen.shown ?? chosen.kept;
  for (const tell of chosen.listeners) tell(i);
}
function show(i) {
  if (chosen.shown === i) return;
  chosen.shown = i;
  tellChosen();
}
function keep(i) {
  chosen.kept = i;
  chosen.shown = null;
  tellChosen();
}

/* A face as a button, everywhere but in the map. */
function faceButton(i) {
  const name = `${faceName(i)}, ${clusterName(faces[i].cluster)}`;
  const b = el('button', {
    type: 'button', class: 'face', title: name, 'aria-label': name, 'data-face': i,
    onmouseenter: () => show(i), onmouseleave: () => show(null), onfocus: () => show(i), onblur: () => show(null),
    onclick: () => keep(i),
  }, picture(i));
  return coloured(b, faces[i].cluster);
}

/* The first of many items, and a button for more of them. */
function listing(parent, count, step, render, what) {
  let shown = 0;
  const button = el('button', {type: 'button', class: 'more', onclick: more});
  function more() {
    for (const until = Math.min(count, shown + step); shown < until; shown++) parent.append(render(shown));
    button.hidden = shown === count;
    button.textContent = `Show more ${what} (${(count - shown).toLocaleString('en')} left)`;
  }
  more();
  return button;
}
