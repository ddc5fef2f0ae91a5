import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY, fold, leaderOf, rates } from '../state.js';
import { event, first, frame, leading, process, replica } from './store.js';
import { History } from '../history.js';

test('a frame changes only the processes that it has', () => {
  const before = fold(EMPTY, first());
  const after = fold(before, frame(2, { processes: [process('order-2', { state: 'frozen' })] }));
  assert.equal(after.processes['order-2'].state, 'frozen');
  assert.equal(before.processes['order-2'].state, 'up');
  assert.equal(after.processes['order-1'], before.processes['order-1']);
});

test('an empty frame shares everything with the state before it', () => {
  const before = fold(EMPTY, first());
  const after = fold(before, frame(2));
  assert.equal(after.processes, before.processes);
  assert.equal(after.names, before.names);
  assert.equal(after.dropped, before.dropped);
});

test('processes come and go, ordered by service and ordinal', () => {
  let state = fold(EMPTY, first());
  state = fold(state, frame(2, { processes: [process('order-5'), process('order-4')] }));
  assert.deepEqual(state.names, ['frontend-1', 'frontend-2', 'order-1', 'order-2', 'order-3',
    'order-4', 'order-5', 'catalog-1']);
  state = fold(state, frame(3, { removed: ['order-4', 'order-5'] }));
  assert.equal(state.names.length, 6);
});

test('a complete frame replaces the processes and the cuts', () => {
  let state = fold(EMPTY, first({ links: [{ from: 'order-1', to: 'order-2' }] }));
  assert.equal(fold(state, frame(2)).cut.length, 1);
  state = fold(state, frame(2, { complete: true, processes: [process('order-9')] }));
  assert.deepEqual(state.names, ['order-9']);
  assert.deepEqual(state.cut, []);
});

test('of two leaders the one with the higher term counts, and none that does not answer', () => {
  let state = fold(EMPTY, first());
  state = fold(state, frame(2, {
    processes: [process('order-2', { replica: leading({ term: 4 }) })],
  }));
  assert.equal(leaderOf(state, 'order').name, 'order-2');
  state = fold(state, frame(3, {
    processes: [process('order-2', { state: 'stopped', replica: leading({ term: 4 }) })],
  }));
  assert.equal(leaderOf(state, 'order').name, 'order-1');
});

test('what leaves a cache stays visible for a moment', () => {
  const cached = (products) => process('frontend-1', {
    cache: { capacity: 5, lease_valid: true, products },
  });
  let state = fold(EMPTY, first());
  state = fold(state, frame(2, { processes: [cached(['Tux', 'Fox'])] }));
  state = fold(state, frame(3, { processes: [cached(['Tux'])] }));
  assert.deepEqual(state.dropped['frontend-1'].map(({ product, index }) => [product, index]),
    [['Fox', 1]]);
  for (let n = 4; n < 12; n += 1) state = fold(state, frame(n));
  assert.deepEqual(state.dropped, {});
});

test('rates are sums over the last second, and a service means its leader', () => {
  const flows = [{ from: 'order-1', to: 'catalog', kind: 'reserve', count: 1, items: 3 }];
  let state = fold(EMPTY, first());
  for (let n = 2; n <= 9; n += 1) state = fold(state, frame(n, { flows }));
  assert.equal(rates(state).get('order-1>catalog-1:reserve').items, 12);
  for (let n = 10; n <= 13; n += 1) state = fold(state, frame(n));
  assert.equal(rates(state).size, 0);
});

test('any earlier moment can be shown again', () => {
  const history = new History();
  history.push(first());
  history.push(frame(2, { processes: [process('order-1', { state: 'stopped' })] }));
  history.push(frame(3, { processes: [process('order-1', { replica: replica() })] }));
  assert.equal(history.at(1_000_250).processes['order-1'].state, 'up');
  assert.equal(history.at(1_000_600).processes['order-1'].state, 'stopped');
  assert.equal(history.at(0), history.first);
  assert.equal(history.step(1_000_500, 1).n, 3);
});

test('a frame that does not follow is refused, unless it is complete and later', () => {
  const history = new History();
  history.push(first());
  assert.equal(history.push(frame(3)), false);
  assert.equal(history.push(first()), true, 'the same frame again changes nothing');
  assert.equal(history.states.length, 1);
  assert.equal(history.push(frame(9, { complete: true })), true);
});

test('a history that is loaded again has no event twice, and keeps what was before it', () => {
  const events = [event(1_000_200), event(1_000_400)];
  const history = new History();
  history.push(first({ events: [events[0]] }));
  history.push(frame(2, { events: [events[1]] }));
  // The console was restarted: it counts from 1 again and reads the processes' events again.
  history.load([{ ...first(), at_ms: 1_000_900, events }]);
  assert.equal(history.events.length, 2);
  assert.equal(history.states.length, 3);
  assert.equal(history.latest.n, 1);
});

test('events are in the order of their times', () => {
  const history = new History();
  const at = (ms, more) => event(1_000_000 + ms, more);
  history.push(first({ events: [at(20), at(10)] }));
  history.push(frame(2, { events: [at(15), at(30, { notable: false })] }));
  const times = (options) => history.eventsUntil(Infinity, options)
    .map(({ at_ms }) => at_ms - 1_000_000);
  assert.deepEqual(times({ limit: 10, details: false }), [20, 15, 10]);
  assert.deepEqual(times({ limit: 2, details: true }), [30, 20]);
  assert.equal(history.eventsUntil(1_000_012, { limit: 10, details: false }).length, 1);
});

test('an hour at a thousand events a second keeps ten minutes, and no more', () => {
  const history = new History();
  history.push(first());
  let most = 0;
  for (let n = 2; n <= 4 * 3600; n += 1) {
    const at = 1_000_000 + n * 250;
    const events = [];
    for (let i = 0; i < 40; i += 1) events.push(event(at - i, { notable: i < 5 }));
    const leader = process('order-1', { replica: leading({ term: n >> 6 }) });
    history.push(frame(n, { events, processes: [leader] }));
    most = Math.max(most, history.states.length, history.events.length);
  }
  assert.ok(history.states.length <= 2400 + 40, `${history.states.length} states`);
  assert.ok(history.points.length <= 640, `${history.points.length} points`);
  assert.ok(history.terms.length <= 160, `${history.terms.length} terms`);
  assert.ok(most <= 5000, `${most} events`);
  assert.equal(history.known.size, history.events.length + history.details.length);
});
