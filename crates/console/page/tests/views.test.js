import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, fold } from '../state.js';
import { toHtml, toText, h } from '../vnode.js';
import { headline } from '../headline.js';
import { numbers } from '../numbers.js';
import { diagram, thickness } from '../diagram.js';
import { dotsOf } from '../dots.js';
import { layout } from '../layout.js';
import { edges, pointAt } from '../edges.js';
import { controls } from '../controls.js';
import { suggestion } from '../hint.js';
import { ledgerColumns } from '../ledgers.js';
import { eventLine, sentence } from '../sentence.js';
import { actionsFor } from '../inspector.js';
import { event, first, frame, leading, process, replica } from './store.js';

const store = (...changed) => fold(fold(EMPTY, first()), frame(2, { processes: changed }));
const draw = (state, width = 1200) => toHtml(diagram(state, {
  width, selected: 'order-1', picked: [],
}));

test('text from outside is escaped', () => {
  const evil = '<img src=x onerror=alert(1)>"\'&';
  assert.equal(toHtml(h('p', { title: evil }, evil)),
    '<p title="&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;">'
    + '&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;</p>');
  const state = store(process('frontend-1', {
    cache: { capacity: 5, lease_valid: true, products: [evil] },
  }));
  assert.ok(!draw(state).includes('<img'));
  assert.ok(!toHtml(eventLine(event(1, { text: evil }), null, { key: 'e' })).includes('<img'));
});

test('the headline says who leads and what is broken', () => {
  assert.deepEqual(headline(store()), {
    level: 'ok',
    text: 'order-1 leads the orders in term 3. Both frontends serve from their caches. Nothing is '
      + 'broken.',
    first: 'order-1 leads the orders in term 3.',
    rest: 'Both frontends serve from their caches. Nothing is broken.',
  });
  const one = headline(store(process('order-3', { state: 'stopped' })));
  assert.equal(one.level, 'degraded');
  assert.match(one.text, /order-3 is stopped\. 2 of 3 order replicas are a majority, so orders/);
  assert.match(one.text, /continue; if one more fails, they wait\.$/);
  const two = headline(store(process('order-3', { state: 'stopped' }),
    process('order-2', { state: 'frozen' })));
  assert.equal(two.level, 'down');
  assert.match(two.text, /^Orders wait: 1 of 3 order replicas work, and 2 must have/);
  const lease = headline(store(process('frontend-2', {
    cache: { capacity: 5, lease_valid: false, products: [] },
  })));
  assert.match(lease.text, /frontend-2 has no lease and does not use its cache/);
  assert.match(headline(store(process('order-1', { replica: replica() }))).text, /have no leader/);
  assert.match(headline(store(process('catalog-1', { state: 'stopped' }))).text,
    /the catalog, which has the stock/);
  assert.equal(headline(EMPTY).level, 'unknown');
});

test('requests that wait are shown although nothing has failed', () => {
  const waiting = (waiting_ms) => fold(store(), frame(3, { traffic: { waiting: 12, waiting_ms,
    orders_per_s: 0, reads_per_s: 0, errors_per_s: 0, refused_per_s: 0, hit_ratio: null } }));
  assert.match(toText(numbers(waiting(3200))), /Waiting12 requeststhe oldest for 3\.2 s/);
  assert.match(headline(waiting(3200)).text, /12 requests wait, the oldest for 3\.2 s\.$/);
  assert.equal(headline(waiting(3200)).level, 'degraded');
  assert.match(toText(numbers(waiting(20))), /Waiting12 requestsfor a moment/);
  assert.equal(headline(waiting(20)).level, 'ok');
});

test('cut connections are in the headline and in the diagram', () => {
  const state = fold(store(), frame(3, { links: [
    { from: 'order-1', to: 'order-3' }, { from: 'order-3', to: 'order-1' },
    { from: 'frontend-1', to: 'catalog-1' }] }));
  assert.match(headline(state).text, /2 connections are cut/);
  assert.equal(draw(state).match(/data-cut=/g).length, 2);
  assert.match(draw(state), /cut one way/);
});

test('a process carries what browser tests look for', () => {
  const html = draw(store(process('order-2', { state: 'frozen' })));
  assert.match(html, /data-process="order-1" data-state="up" data-role="leader" data-term="3"/);
  assert.match(html, /data-process="order-2" data-state="frozen"/);
});

test('everything has its place, on a wide page and on a phone', () => {
  const five = store(process('order-4'), process('order-5'), process('catalog-2'),
    process('catalog-3'), process('frontend-3'), process('frontend-4'));
  for (const width of [320, 358, 700, 800, 1100, 1600]) {
    const places = layout(five, width);
    const boxes = Object.entries(places.boxes);
    assert.equal(boxes.length, five.names.length);
    for (const [name, box] of boxes) {
      const inside = box.x >= 0 && box.x + box.w <= width && box.y + box.h <= places.height;
      assert.ok(inside, `${name} at ${width}`);
      for (const [other, b] of boxes) {
        const apart = name === other || box.x + box.w <= b.x || b.x + b.w <= box.x
          || box.y + box.h <= b.y || b.y + b.h <= box.y;
        assert.ok(apart, `${name} and ${other} overlap at ${width}`);
      }
    }
  }
});

test('ways lead from the leader, and a dot moves along them', () => {
  const state = store(process('order-1'), process('order-2', { replica: leading({ term: 4 }) }));
  const found = edges(state, layout(state, 1200));
  const keys = found.map((edge) => edge.key);
  assert.ok(keys.includes('frontend-1>order-2:order'));
  assert.ok(keys.includes('order-2>order-1:place'));
  assert.ok(keys.includes('order-2>catalog-1:reserve'));
  assert.equal(new Set(keys).size, keys.length);
  for (const { points } of found) {
    assert.deepEqual(pointAt(points, 0), points[0]);
    for (const share of [0, 0.3, 1]) assert.ok(pointAt(points, share).every(Number.isFinite));
  }
});

test('few orders are dots, many are numbers', () => {
  const flow = (items) => [{ from: 'clients', to: 'frontend-1', kind: 'order', count: 1, items }];
  const few = fold(store(), frame(3, { flows: flow(2) }));
  assert.equal(dotsOf(few, layout(few, 1200)).length, 2);
  const many = fold(store(), frame(3, { flows: flow(1250) }));
  assert.equal(dotsOf(many, layout(many, 1200)).length, 0);
  assert.match(draw(many), /<tspan class="value">1,250<\/tspan> orders/);
  assert.ok(thickness(5000) > thickness(50) && thickness(50) > thickness(1));
  assert.ok(thickness(1e9) <= 11);
});

test('drawing a busy store takes little of a frame', () => {
  const names = ['frontend-1', 'frontend-2'];
  const flows = names.flatMap((name) => ['order', 'read'].map((kind) => ({
    from: 'clients', to: name, kind, count: 60, items: 1250 })));
  let state = store();
  const start = performance.now();
  for (let n = 3; n < 103; n += 1) {
    state = fold(state, frame(n, { flows }));
    diagram(state, { width: 1200, selected: null, picked: [] });
  }
  const each = (performance.now() - start) / 100;
  assert.ok(each < 25, `${each.toFixed(1)} ms for each of 4 pictures a second`);
});

test('ledger lines with the same number stand beside each other', () => {
  const tail = (last) => Array.from({ length: 8 }, (_, i) => ({
    number: last - 7 + i, product: 'Tux', quantity: 1,
  }));
  const state = store(
    process('order-1', { replica: leading(), ledger: { orders: 100, tail: tail(100) } }),
    process('order-2', { ledger: { orders: 98, tail: tail(98) } }),
    process('order-3', { ledger: { orders: 50, tail: tail(50) } }));
  const [a, b, c] = ledgerColumns(state);
  assert.deepEqual(a.lines.map((line) => line.number), b.lines.map((line) => line.number));
  assert.equal(b.lines[0].product, null);
  assert.equal(b.behind, 2);
  assert.equal(c.aligned, false);
  assert.equal(c.lines[0].number, 50);
});

test('a sentence has its names and terms marked, and loses nothing', () => {
  const text = 'order-3 leads term 12; 12 ms without a leader (order-31)';
  assert.equal(toText(sentence(text)), text);
  assert.match(toHtml(sentence(text)),
    /<b class="name">order-3<\/b> leads <span class="term term-4">term 12</);
  const names = (one) => [...toHtml(sentence(one)).matchAll(/<b class="name">(.*?)<\/b>/g)]
    .map((match) => match[1]);
  assert.deepEqual(names('catalog leads the catalog group in term 1; frontend-x2x1z asks catalog-2, '
    + 'frontend asks the catalog, the frontend waits'),
  ['catalog', 'frontend-x2x1z', 'catalog-2', 'frontend']);
});

test('the log shows the sentence as the console sends it', () => {
  for (const text of ['order-1 leads the order group in term 4', '12 ms without a leader']) {
    const line = toText(eventLine(event(1, { text }), null, { key: 'e' }).children.at(-1));
    assert.equal(line, text);
  }
});

test('actions fit the process and its state', () => {
  const names = (one) => actionsFor(one).map((action) => action.action);
  assert.deepEqual(names(process('order-1', { state: 'stopped' })), ['restart']);
  assert.deepEqual(names(process('order-1', { state: 'frozen' })), ['resume', 'kill']);
  assert.deepEqual(names(process('frontend-1')), ['kill', 'freeze', 'restart']);
  assert.ok(names(process('catalog-1')).includes('wipe_disk'));
});

test('who may only look is told why', () => {
  const about = { controls: false, products: [], store: null };
  const html = toHtml(controls(store(), about, { live: true }));
  assert.match(html, /only watches/);
  assert.ok(!html.includes('data-action'));
});

test('the first suggestion is to kill the leader', () => {
  const about = { controls: true, products: ['Tux'], store: 'http://localhost:1110' };
  const now = suggestion(store(), about, { done: new Set(), live: true });
  assert.deepEqual(now.buttons[0], { action: 'kill', target: 'order-1', text: 'Kill '
    + 'order-1', kind: 'break' });
  const later = suggestion(store(process('order-1', { state: 'stopped' })), about,
    { done: new Set(['kill']), live: true });
  assert.equal(later.buttons[0].action, 'restart');
  const lesson = (from, to) => suggestion(fold(store(), frame(3, { links: [{ from, to }] })), about,
    { done: new Set(), live: true }).lesson.label;
  assert.match(lesson('frontend-1', 'catalog-1'), /^Lesson 1: a frontend that the catalog/);
  assert.match(lesson('order-1', 'order-2'), /^Lesson 4/);
  assert.equal(now.lesson.href, 'docs/lessons/3-elections#kill');
});
