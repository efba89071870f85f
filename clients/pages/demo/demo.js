// The demo page: prices and a chat over one Bayeux session.
import { Client } from './client/weft.js';

const POINTS = 60; // of each symbol's line
const SYMBOLS = 50; // rows at most: anybody may publish here
const MESSAGES = 200; // kept on the page

const element = (id) => document.getElementById(id);
const client = new Client(new URL('../bayeux', document.baseURI));

// --- state ---

const LABELS = {
  connecting: 'connecting',
  connected: 'connected',
  polling: 'polling (multiple tabs)',
  offline: 'offline',
};

client.on('state', (state, { multipleClients }) => {
  let shown = { connecting: 'connecting', unconnected: 'offline' }[state] ?? 'connected';
  if (shown === 'connected' && multipleClients) shown = 'polling';
  element('state').dataset.state = shown;
  element('state').textContent = LABELS[shown];
});

client.on('error', ({ message }) => {
  element('problem').textContent = message;
});

// --- stocks ---

const rows = new Map();

function showPrice({ data }) {
  const { symbol, price, change } = data ?? {};
  if (!Number.isFinite(price) || !Number.isFinite(change)) return;
  if (!rows.has(symbol) && rows.size === SYMBOLS) return;
  const row = rows.get(symbol) ?? addRow(symbol);
  const before = row.points.at(-1) ?? price;
  row.points.push(price);
  if (row.points.length > POINTS) row.points.shift();

  row.price.textContent = price.toFixed(2);
  flash(row.price, Math.sign(price - before));
  const [mark, direction] = { '-1': ['▼', 'down'], 0: ['', ''], 1: ['▲', 'up'] }[Math.sign(change)];
  row.change.textContent = `${mark} ${Math.abs(change).toFixed(2)}`;
  row.change.className = `number change ${direction}`;
  row.line.setAttribute('points', line(row.points));
}

function flash(cell, direction) {
  cell.className = 'number price';
  if (direction === 0) return;
  void cell.offsetWidth; // makes the browser begin the animation anew
  cell.classList.add(direction > 0 ? 'up' : 'down');
}

// In a box of 100 by 20, the newest point at the right edge.
function line(points) {
  const low = Math.min(...points);
  const span = Math.max(...points) - low || 1;
  const left = 100 - ((points.length - 1) * 100) / (POINTS - 1);
  return points
    .map((p, i) => `${left + (i * 100) / (POINTS - 1)},${20 - ((p - low) / span) * 20}`)
    .join(' ');
}

function addRow(symbol) {
  element('stocks').querySelector('.waiting')?.remove();
  const tr = document.createElement('tr');
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = String(symbol).slice(0, 12);
  const [price, change, trend] = ['number price', 'number', 'trend'].map((className) =>
    Object.assign(document.createElement('td'), { className }),
  );
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 100 20');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const polyline = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  svg.append(polyline);
  trend.append(svg);
  tr.append(head, price, change, trend);

  // In the order of the alphabet, whichever price came first.
  const next = [...rows.keys()].sort().find((other) => other > symbol);
  element('stocks').insertBefore(tr, rows.get(next)?.tr ?? null);
  const row = { tr, price, change, line: polyline, points: [] };
  rows.set(symbol, row);
  return row;
}

// --- chat ---

// What others wrote is only ever text.
function showMessage({ data }) {
  const list = element('messages');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const from = document.createElement('b');
  from.textContent = String(data?.from ?? 'somebody').slice(0, 24);
  const item = document.createElement('li');
  item.append(from, String(data?.text ?? ''));
  list.append(item);
  while (list.children.length > MESSAGES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

element('chat').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { from, text } = event.target.elements;
  const data = { from: from.value, text: text.value };
  text.value = '';
  element('problem').textContent = '';
  try {
    await client.publish('/demo/chat', data);
  } catch (error) {
    element('problem').textContent = `Not sent: ${error.message}`;
    text.value ||= data.text;
  }
});

element('from').value = `guest ${Math.floor(Math.random() * 900) + 100}`;

const problem = (error) => {
  element('problem').textContent = error.message;
};
client.subscribe('/demo/stocks/*', showPrice).catch(problem);
client.subscribe('/demo/chat', showMessage).catch(problem);
