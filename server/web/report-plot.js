/* The map: every face where its coordinates put it. A canvas, because thousands of faces are drawn
 * anew with every move; faces are pictures where there is room for them, else dots. */
const plot = (() => {
  const MARGIN = 26, PICTURE_MIN = 14, PICTURE_MAX = 110, SIDE_MAX = 54, SIDE_MIN = 6, ZOOM_MAX = 60;
  const APART_MAX = 600, ROUNDS = 40;          /* stepping aside: server/report/paint.c */
  const NAMES_MAX = 40, MEDOIDS_MAX = 60, PICTURES_MAX = 1500, CORNERS = 12;
  const canvas = byId('canvas'), context = canvas.getContext('2d');
  const pictures = new Map(); /* of those that were in sight */
  let key = report.coordinates.layout ? 'layout' : 'pca';
  let width = 0, height = 0, base = SIDE_MIN, places = [], zoom = {k: 1, x: 0, y: 0}, style = {}, waiting = false, at = null;

  function readStyle() {
    const s = getComputedStyle(document.documentElement), of = name => s.getPropertyValue(name).trim();
    style = {ink: of('--ink'), paper: of('--paper'), outlier: of('--outlier'), lightness: of('--lightness')};
  }
  const colour = (c, alpha = 1) => c === null ? style.outlier : `hsl(${hueOf(c)} 62% ${style.lightness} / ${alpha})`;

  /* Places at zoom 1, in pixels of the canvas. */
  function fit() {
    const xs = faces.map(f => f[key][0]), ys = faces.map(f => f[key][1]);
    const range = v => v.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
    const [x0, x1] = range(xs), [y0, y1] = range(ys);
    base = Math.max(SIDE_MIN, Math.min(SIDE_MAX, 0.9 * Math.sqrt(width * height / (4 * faces.length))));
    let scale = Math.min((width - 2 * MARGIN - base) / (x1 - x0), (height - 3 * MARGIN - base) / (y1 - y0));
    if (!Number.isFinite(scale)) scale = 0;
    places = faces.map((f, i) => [width / 2 + scale * (xs[i] - (x0 + x1) / 2),
                                  height / 2 + MARGIN / 2 + scale * (ys[i] - (y0 + y1) / 2)]);
    if (faces.length <= APART_MAX) stepAside(base + 3);
    const within = (v, side) => Math.max(base / 2, Math.min(side - base / 2, v));
    places = places.map(([x, y]) => [within(x, width), within(y, height)]);
  }
  function stepAside(room) {
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 1; i < places.length; i++) {
        for (let j = 0; j < i; j++) {
          const d = [places[i][0] - places[j][0], places[i][1] - places[j][1]];
          const a = Math.abs(d[0]) < Math.abs(d[1]) ? 1 : 0;
          if (Math.abs(d[a]) >= room) continue;
          const step = (room - Math.abs(d[a])) / 4 * (d[a] < 0 ? -1 : 1);
          places[i][a] += step;
          places[j][a] -= step;
        }
      }
    }
  }

  const side = () => Math.min(PICTURE_MAX, base * Math.pow(zoom.k, 0.75));
  const placeOf = i => [places[i][0] * zoom.k + zoom.x, places[i][1] * zoom.k + zoom.y];
  const inSight = ([x, y], room) => x > -room && y > -room && x < width + room && y < height + room;

  function pictureOf(i) {
    let image = pictures.get(i);
    if (!image) {
      image = new Image();
      image.onload = redraw;
      image.src = pictureUrl(i);
      pictures.set(i, image);
    }
    return image.complete && image.naturalWidth ? image : null;
  }

  function drawFace(i, size) {
    const [x, y] = placeOf(i), c = faces[i].cluster, left = x - size / 2, top = y - size / 2;
    const image = size >= PICTURE_MIN && hasPicture(i) ? pictureOf(i) : null;
    context.strokeStyle = context.fillStyle = colour(c);
    if (!image) {
      context.beginPath();
      context.arc(x, y, Math.max(2, Math.min(size, PICTURE_MIN * 2) / 3), 0, 2 * Math.PI);
      context.lineWidth = 1.5;
      if (c === null) context.stroke();
      else context.fill();
      return false;
    }
    context.drawImage(image, left, top, size, size);
    context.lineWidth = size > 30 ? 3 : 2;
    context.setLineDash(c === null ? [5, 3] : []);
    context.strokeRect(left, top, size, size);
    context.setLineDash([]);
    return true;
  }

  /* Convex hull (Andrew 1979) of points, which it sorts. */
  function hullOf(points) {
    const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
    const half = list => {
      const h = [];
      for (const p of list) {
        while (h.length > 1 && turn(h[h.length - 2], h[h.length - 1], p) <= 0) h.pop();
        h.push(p);
      }
      return h.slice(0, -1);
    };
    points.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    return [...half(points), ...half([...points].reverse())];
  }
  function drawOutline(c, size, strong) {
    const radius = size * 0.707 + 5, ring = [];
    for (const m of clusters[c].members) {
      const [x, y] = placeOf(m);
      for (let k = 0; k < CORNERS; k++) {
        const angle = 2 * Math.PI * k / CORNERS;
        ring.push([x + radius * Math.cos(angle), y + radius * Math.sin(angle)]);
      }
    }
    context.beginPath();
    for (const [x, y] of hullOf(ring)) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = colour(c, strong ? 0.2 : 0.09);
    context.strokeStyle = colour(c, strong ? 1 : 0.45);
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
  function drawName(c, size) {
    const spots = clusters[c].members.map(placeOf), top = Math.min(...spots.map(p => p[1]));
    const middle = spots.reduce((s, p) => s + p[0], 0) / spots.length, y = Math.max(top - 0.75 * size - 8, 14);
    const text = clusterName(c).length > 30 ? clusterName(c).slice(0, 29) + '…' : clusterName(c);
    context.font = '600 14px system-ui, sans-serif';
    const half = context.measureText(text).width / 2 + 4, seen = middle > 0 && middle < width;
    const x = seen ? Math.max(half, Math.min(width - half, middle)) : middle;
    context.textAlign = 'center';
    context.lineWidth = 4;
    context.lineJoin = 'round';
    context.strokeStyle = style.paper;
    context.strokeText(text, x, y);
    context.fillStyle = colour(c);
    context.fillText(text, x, y);
  }

  function draw() {
    waiting = false;
    const size = side(), outlined = byId('outlines').checked, near = at === null ? null : faces[at].cluster;
    const seen = faces.map((_, i) => i).filter(i => inSight(placeOf(i), size));
    const small = seen.length > PICTURES_MAX ? Math.min(size, PICTURE_MIN - 1) : size;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.fillStyle = style.paper;
    context.fillRect(0, 0, width, height);
    for (const c of clusters) {
      if (c.cluster === near || (outlined && clusters.length <= 4 * NAMES_MAX)) drawOutline(c.cluster, small, c.cluster === near);
    }
    let shown = 0;
    for (const i of seen) shown += drawFace(i, small);
    if (small < PICTURE_MIN) clusters.slice(0, MEDOIDS_MAX).filter(c => c.size > 2).forEach(c => drawFace(c.medoid, 26));
    for (const c of clusters) {
      if (c.cluster === near || (outlined && clusters.length <= NAMES_MAX)) drawName(c.cluster, small);
    }
    if (at !== null) drawChosen(Math.max(small * 1.35, 46));
    canvas.dataset.drawn = seen.length;
    canvas.dataset.pictures = shown;
  }
  function drawChosen(size) {
    const [x, y] = placeOf(at);
    drawFace(at, size);
    context.strokeStyle = style.ink;
    context.lineWidth = 2;
    context.strokeRect(x - size / 2 - 3, y - size / 2 - 3, size + 6, size + 6);
  }
  function redraw() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    if (!box.width || (box.width === width && box.height === height)) return;
    width = box.width;
    height = box.height;
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    zoom = {k: 1, x: 0, y: 0};
    fit();
    draw();
  }

  function zoomBy(factor, x = width / 2, y = height / 2) {
    const k = Math.max(0.5, Math.min(ZOOM_MAX, zoom.k * factor)), f = k / zoom.k;
    zoom = {k, x: x - f * (x - zoom.x), y: y - f * (y - zoom.y)};
    redraw();
  }
  function moveBy(dx, dy) {
    zoom.x += dx;
    zoom.y += dy;
    redraw();
  }
  function reset() {
    zoom = {k: 1, x: 0, y: 0};
    redraw();
  }
  /* Brings a face into sight. */
  function reach(i) {
    const [x, y] = placeOf(i), room = side();
    moveBy(x < room ? room - x : x > width - room ? width - room - x : 0,
           y < room ? room - y : y > height - room ? height - room - y : 0);
  }
  function faceAt(x, y) {
    const reachable = Math.max(side() / 2, 7);
    let best = null, least = reachable;
    for (let i = 0; i < faces.length; i++) {
      const p = placeOf(i), d = Math.max(Math.abs(p[0] - x), Math.abs(p[1] - y));
      if (d <= least) [best, least] = [i, d];
    }
    return best;
  }
  /* The next face in a direction: near, and not too far to the side. */
  function neighbour(from, dx, dy) {
    const [x, y] = placeOf(from);
    let best = null, least = Infinity;
    for (let i = 0; i < faces.length; i++) {
      const p = placeOf(i), along = (p[0] - x) * dx + (p[1] - y) * dy, across = Math.abs((p[0] - x) * dy - (p[1] - y) * dx);
      if (i === from || along <= 0.01 || across > 1.2 * along) continue;
      if (along + 2 * across < least) [best, least] = [i, along + 2 * across];
    }
    return best;
  }
  function layout(name) {
    key = name;
    fit();
    reset();
  }

  chosen.listeners.push(i => {
    at = i;
    redraw();
  });
  byId('outlines').addEventListener('change', redraw);
  const dark = matchMedia('(prefers-color-scheme: dark)'), paper = matchMedia('print');
  for (const m of [dark, paper]) {
    m.addEventListener('change', () => {
      readStyle();
      draw();
    });
  }
  readStyle();
  new ResizeObserver(resize).observe(canvas);
  return {canvas, placeOf, faceAt, neighbour, zoomBy, moveBy, reset, reach, layout, resize, key: () => key};
})();
