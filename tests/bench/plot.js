// Two kinds of plots as SVG that stands alone, readable on light and dark pages.

const WIDTH = 860;
const FONT = 'ui-sans-serif, system-ui, sans-serif';
// Text, axes and lines; then the series, told apart by lightness as well as by hue.
const STYLE = `
  text { font: 13px ${FONT}; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #57606a }
  .rule { stroke: #d0d7de; stroke-width: 1 }
  .axis { stroke: #57606a; stroke-width: 1 }
  .curve { fill: none; stroke-width: 2 }
  .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .rule { stroke: #30363d }
    .axis { stroke: #9198a1 }
    .page { fill: #0d1117 }
  }`;

const escape = (text) => String(text).replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
const round = (n) => Math.round(n * 10) / 10;

/** A number as short as it may be: 1.5, 20, 300k. */
export function short(n) {
  if (n >= 1e6) return `${round(n / 1e6)}M`;
  if (n >= 1e4) return `${Math.round(n / 1e3)}k`;
  if (n >= 1e3) return `${round(n / 1e3)}k`;
  return n >= 10 ? String(Math.round(n)) : String(round(n));
}

const text = (x, y, words, rest = '') => `<text x="${round(x)}" y="${round(y)}"${rest}>${escape(words)}</text>`;
const line = (kind, x1, y1, x2, y2) =>
  `<line class="${kind}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;

const page = (height, title, parts) =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    text(20, 30, title, ' class="title"'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');

/** The marks of a logarithmic axis: 1, 2 and 5 of each power of ten, from below the least to the most. */
export function marks(least, most) {
  const all = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power += 1) {
    all.push(...[1, 2, 5].map((n) => n * 10 ** power));
  }
  const from = all.findLastIndex((mark) => mark <= least);
  const to = all.findIndex((mark) => mark >= most);
  return all.slice(Math.max(from, 0), to < 0 ? undefined : to + 1);
}

/** Curves over two logarithmic axes: `series` has a name, a colour and points [x, y], in order. */
export function curves({ title, x, y, series }) {
  const drawn = series.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return undefined;
  const box = { left: 70, top: 55, right: WIDTH - 190, bottom: 430 };
  const points = drawn.flatMap((each) => each.points);
  const scale = (index, low, high) => {
    const values = points.map((point) => point[index]);
    const ticks = marks(Math.min(...values), Math.max(...values));
    const [first, last] = [Math.log(ticks[0]), Math.log(ticks.at(-1))];
    const place = (value) => low + ((Math.log(value) - first) / (last - first || 1)) * (high - low);
    return { ticks, place };
  };
  const across = scale(0, box.left, box.right);
  const up = scale(1, box.bottom, box.top);
  const grid = [
    ...up.ticks.flatMap((tick) => [
      line('rule', box.left, up.place(tick), box.right, up.place(tick)),
      text(box.left - 8, up.place(tick) + 4, short(tick), ' text-anchor="end" class="quiet"'),
    ]),
    ...across.ticks.flatMap((tick) => [
      line('rule', across.place(tick), box.top, across.place(tick), box.bottom),
      text(across.place(tick), box.bottom + 20, short(tick), ' text-anchor="middle" class="quiet"'),
    ]),
    line('axis', box.left, box.bottom, box.right, box.bottom),
    line('axis', box.left, box.top, box.left, box.bottom),
    text((box.left + box.right) / 2, box.bottom + 45, x, ' text-anchor="middle"'),
    text(0, 0, y, ` text-anchor="middle" transform="translate(20 ${(box.top + box.bottom) / 2}) rotate(-90)"`),
  ];
  // Names stand at the ends of their curves, and no two on each other.
  const names = drawn.map(({ name, points: each }) => ({ name, y: up.place(each.at(-1)[1]) }));
  names.sort((a, b) => a.y - b.y);
  names.forEach((each, index) => {
    if (index > 0) each.y = Math.max(each.y, names[index - 1].y + 17);
  });
  const spill = Math.max(0, (names.at(-1)?.y ?? 0) - box.bottom);
  const paths = drawn.flatMap(({ name, colour, points: each }) => {
    const places = each.map(([px, py]) => [round(across.place(px)), round(up.place(py))]);
    const end = places.at(-1);
    const at = round(names.find((label) => label.name === name).y - spill);
    return [
      `<polyline class="curve" stroke="${colour}" points="${places.map((place) => place.join(',')).join(' ')}"/>`,
      ...places.map(([px, py]) => `<circle cx="${px}" cy="${py}" r="3.5" fill="${colour}"/>`),
      `<line x1="${end[0] + 5}" y1="${end[1]}" x2="${box.right + 14}" y2="${at}" stroke="${colour}" stroke-opacity="0.4"/>`,
      `<circle cx="${box.right + 20}" cy="${at}" r="4.5" fill="${colour}"/>`,
      text(box.right + 30, at + 4, name),
    ];
  });
  return page(500, title, [...grid, ...paths]);
}

/** Bars from zero, in groups with a heading each: `groups` is [{ name, bars: [{ name, value, colour }] }]. */
export function bars({ title, unit, groups }) {
  const drawn = groups.filter((group) => group.bars.length > 0);
  if (drawn.length === 0) return undefined;
  const left = 210;
  const right = WIDTH - 90;
  const most = Math.max(...drawn.flatMap((group) => group.bars.map(({ value }) => value)));
  let y = 50;
  const parts = drawn.flatMap((group) => {
    y += 16;
    const heading = text(20, y, group.name, ' class="quiet"');
    y += 12;
    const top = y;
    const rows = group.bars.flatMap(({ name, value, colour }) => {
      const length = (value / most) * (right - left);
      const row = [
        text(left - 10, y + 14, name, ' text-anchor="end"'),
        `<rect x="${left}" y="${y}" width="${round(Math.max(length, 1))}" height="19" rx="2" fill="${colour}"/>`,
        text(left + length + 8, y + 14, short(value)),
      ];
      y += 25;
      return row;
    });
    const axis = line('axis', left, top - 3, left, y - 3);
    y += 8;
    return [heading, ...rows, axis];
  });
  return page(y + 34, title, [...parts, text(left, y + 14, unit, ' class="quiet"')]);
}
