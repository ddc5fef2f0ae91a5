/** A process as a box of the diagram: what it is, how it is, and what it holds. */
import { h } from './vnode.js';
import { count, duration, plural } from './format.js';
import { termClass } from './events.js';
import { leaderOf, pollingSkew } from './state.js';
import { CACHE_ROW } from './layout.js';

/** A mark per state, so that it can be told without colours. Drawn around (0, 0). */
const GLYPHS = {
  up: h('circle', { class: 'glyph', r: 4 }),
  starting: h('circle', { class: 'glyph hollow', r: 4 }),
  frozen: h('path', { class: 'glyph line', d: 'M0 -5V5M-4.3 -2.5L4.3 2.5M-4.3 2.5L4.3 -2.5' }),
  stopped: h('path', { class: 'glyph line', d: 'M-4 -4L4 4M-4 4L4 -4' }),
  unreachable: h('path', { class: 'glyph line', d: 'M-5 0H-2M0 0H1M3 0H5' }),
};

/** So many entries are shown on their way out. */
const GHOSTS_MAX = 3;

/** Names of products may be long; a box has room for this many characters. */
const fit = (text, width, size = 6.6) => {
  const most = Math.max(3, Math.floor(width / size));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
};

/**
 * @param {import('./state.js').Process} process
 * @param {import('./layout.js').Box} box
 * @param {{state: import('./state.js').State, selected: boolean, picked: boolean}} context
 */
export function processBox(process, box, { state, selected, picked }) {
  const { replica } = process;
  const away = process.state === 'stopped' || process.state === 'unreachable'
    || process.state === 'starting';
  const leads = Boolean(replica?.leads) && process.state === 'up';
  const colour = replica && !away ? termClass(replica.term) : 'term-none';
  const classes = ['process', process.service, colour, leads && 'leads', selected && 'selected',
    picked && 'picked'].filter(Boolean).join(' ');
  return h('g', {
    key: process.name, class: classes, transform: `translate(${r(box.x)} ${r(box.y)})`,
    role: 'button', tabindex: 0, 'aria-label': describe(process, state),
    'aria-pressed': selected ? 'true' : 'false',
    'data-action': 'select', 'data-explain': process.service, 'data-process': process.name,
    'data-state': process.state, 'data-role': replica?.role ?? null,
    'data-term': replica?.term ?? null,
    'data-leads': leads ? 'true' : null,
  },
  h('rect', { class: 'ring', x: -4, y: -4, width: r(box.w + 8), height: box.h + 8, rx: 13 }),
  h('rect', { class: 'box', width: r(box.w), height: box.h, rx: 10 }),
  h('g', { class: 'state', transform: 'translate(16 20)', 'data-explain': 'state' },
    GLYPHS[process.state] ?? GLYPHS.unreachable),
  h('text', { class: 'name', x: 27, y: 24.5 }, process.name),
  away ? absent(process, state) : body(process, box, state),
  faults(process, box));
}

const r = (value) => Math.round(value * 10) / 10;

function body(process, box, state) {
  if (process.service === 'frontend') return frontendBody(process, box, state);
  return replicaBody(process, box, state);
}

function absent(process, state) {
  const since = duration(Math.max(0, state.at_ms - process.since_ms));
  const hint = process.state !== 'stopped' ? 'the console asks again'
    : state.controls ? 'select it to restart' : '';
  return [h('text', { class: 'fact strong', x: 14, y: 48 }, `${process.state} ${since}`),
    h('text', { class: 'fact', x: 14, y: 66 }, process.state === 'starting' ? '' : hint)];
}

function replicaBody(process, box, state) {
  const { replica } = process;
  if (!replica) return h('text', { class: 'fact', x: 14, y: 48 }, 'no status yet');
  const slim = box.w < 118;
  const lines = [
    h('g', { 'data-explain': 'role' }, pill(replica.role, slim ? 10 : 13, 36, roleWidth(replica))),
    h('text', { class: 'term', x: slim ? 12 : 20 + roleWidth(replica), y: slim ? 68 : 49,
      'data-explain': 'term' }, `term ${replica.term}`),
  ];
  const second = slim ? 83 : 70;
  lines.push(h('text', { class: 'fact', x: slim ? 12 : 14, y: second, 'data-explain': 'log' },
    `log ${count(replica.last_log)}`));
  lines.push(position(process, box, state, slim ? 97 : second));
  if (!slim && process.ledger) {
    lines.push(h('text', { class: 'fact', x: 14, y: 90, 'data-explain': 'ledger' },
      plural(process.ledger.orders, 'order')));
  }
  return lines;
}

/** How far a follower is behind, and what a frozen process does not do. */
function position(process, box, state, y) {
  const slim = box.w < 118;
  const x = slim ? 12 : box.w - 14;
  const anchor = slim ? 'start' : 'end';
  if (process.state === 'frozen') {
    return h('text', { class: 'fact strong', x, y, 'text-anchor': anchor },
      slim ? 'frozen' : `frozen ${duration(Math.max(0, state.at_ms - process.since_ms))}`);
  }
  const leader = leaderOf(state, process.service);
  if (!leader || leader.name === process.name) return null;
  const behind = Math.max(0, leader.replica.last_log - process.replica.last_log);
  return h('text', { class: behind > 20 ? 'fact strong' : 'fact', x, y, 'text-anchor': anchor,
    'data-explain': 'lag' }, behind <= pollingSkew(state) ? 'in step' : `${count(behind)} behind`);
}

const roleWidth = ({ role }) => role.length * 6.3 + 16;

function pill(text, x, y, width) {
  return [h('rect', { class: 'pill', x, y, width: r(width), height: 18, rx: 9 }),
    h('text', { class: 'pill-text', x: r(x + width / 2), y: y + 13 }, text)];
}

function faults(process, box) {
  const words = [...process.faults];
  if (process.replica?.disk_full && !words.includes('full disk')) words.push('full disk');
  if (words.length === 0 || process.service === 'frontend') return null;
  const text = words.join(', ');
  return h('g', { class: 'fault', 'data-explain': words[0].startsWith('slow') ? 'slow' : 'full' },
    h('rect', { class: 'fault-box', x: 8, y: box.h - 24, width: r(box.w - 16), height: 18, rx: 5 }),
    h('text', { class: 'fault-text', x: r(box.w / 2), y: box.h - 11 }, fit(text, box.w - 24)));
}

function frontendBody(process, box, state) {
  const { cache } = process;
  if (process.state === 'frozen') {
    return [h('text', { class: 'fact strong', x: 14, y: 48 },
      `frozen ${duration(Math.max(0, state.at_ms - process.since_ms))}`),
    cache ? rows(process, box, state) : null];
  }
  if (!cache) return h('text', { class: 'fact', x: 14, y: 48 }, 'no status yet');
  if (cache.capacity === 0) {
    return h('text', { class: 'fact', x: 14, y: 46, 'data-explain': 'cache' }, 'cache off');
  }
  const lease = cache.lease_valid
    ? h('text', { class: 'fact good', x: 14, y: 46, 'data-explain': 'lease' }, 'lease valid')
    : h('text', { class: 'fact strong', x: 14, y: 46, 'data-explain': 'lease' },
      'no lease: not used');
  return [lease, rows(process, box, state)];
}

/** The cache, most recently used first, and what has just left it. */
function rows(process, box, state) {
  const { cache } = process;
  const places = Math.min(cache.capacity, 8);
  const y = (index) => 56 + index * CACHE_ROW;
  const slots = [];
  for (let index = 0; index < places; index += 1) {
    slots.push(h('rect', { key: `slot-${index}`, class: 'slot', x: 12, y: y(index) + 1.5,
      width: r(box.w - 24), height: CACHE_ROW - 3, rx: 4 }));
  }
  const entries = cache.products.slice(0, places).map((product, index) => h('g', {
    key: `entry-${product}`, class: 'entry', 'data-cache-entry': product,
    transform: `translate(12 ${y(index)})`,
  },
  h('rect', { class: 'entry-box', y: 1.5, width: r(box.w - 24), height: CACHE_ROW - 3, rx: 4 }),
  h('text', { class: 'entry-text', x: 8, y: 13.5 }, fit(product, box.w - 50)),
  index === 0 ? h('text', { class: 'entry-note', x: r(box.w - 31), y: 13.5 },
    box.w < 150 ? '' : 'latest') : null));
  const dropped = state.dropped[process.name] ?? [];
  // Many at once would hide what is in the cache; then there are only their names.
  const leaving = dropped.length > GHOSTS_MAX ? [] : dropped;
  const ghosts = leaving.filter((entry) => entry.index < places).map((entry) => h('g', {
    key: `gone-${entry.product}-${entry.at_ms}`, class: 'gone',
    transform: `translate(12 ${y(entry.index)})`,
  },
  h('rect', { class: 'gone-box', y: 1.5, width: r(box.w - 24), height: CACHE_ROW - 3, rx: 4 })));
  return h('g', { class: 'cache', 'data-explain': 'cache' }, slots, entries, ghosts,
    droppedLine(dropped, box, y(places) + 13));
}

/** The names of what has just left, for longer than it takes to leave. */
function droppedLine(dropped, box, y) {
  if (dropped.length === 0) return null;
  const names = [...new Set(dropped.map((entry) => entry.product))];
  const room = Math.floor((box.w - 84) / 6.4);
  let text = names[names.length - 1];
  for (const name of names.slice(0, -1).reverse()) {
    if (text.length + name.length + 2 > room) break;
    text = `${name}, ${text}`;
  }
  return h('text', { key: 'dropped', class: 'gone-text', x: 14, y,
    'data-cache-dropped': names.join(',') }, 'dropped ',
  h('tspan', { class: 'gone-name' }, fit(text, box.w - 84, 6.4)));
}

/** A process in words, for those who do not see the diagram. */
export function describe(process, state) {
  const parts = [process.name, process.state];
  const { replica, cache } = process;
  if (replica && process.state !== 'stopped') parts.push(`${replica.role} in term ${replica.term}`,
    `log position ${replica.last_log}`);
  if (cache && process.state === 'up') {
    parts.push(cache.lease_valid ? 'lease valid' : 'no lease',
      `${cache.products.length} of ${cache.capacity} products cached`);
  }
  if (process.faults.length > 0) parts.push(process.faults.join(', '));
  if (state.cut.some(({ from, to }) => from === process.name || to === process.name)) {
    parts.push('a connection is cut');
  }
  return parts.join(', ');
}
