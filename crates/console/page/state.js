/**
 * The store at one moment, and how a frame leads from one moment to the next. Pure: a state is
 * never changed, the next one shares everything that stayed the same. (The contract of frames is
 * the documentation of the console's server.)
 *
 * @typedef {{role: string, term: number, leads: boolean, leader: number|null, last_log: number,
 *   applied: number, disk_full: boolean}} Replica
 * @typedef {{capacity: number, lease_valid: boolean, products: string[]}} Cache
 * @typedef {{name: string, service: string, ordinal: number, address: string, state: string,
 *   since_ms: number, faults: string[], replica: Replica|null, cache: Cache|null,
 *   stock: {name: string, quantity: number, price_cents: number}[]|null,
 *   ledger: {orders: number, tail: {number: number, product: string, quantity: number}[]}|null
 *   }} Process
 * @typedef {{from: string, to: string, kind: string, count: number, items: number, ms?: number}}
 *   Flow
 * @typedef {{product: string, index: number, at_ms: number}} Dropped
 * @typedef {{n: number, at_ms: number, processes: Object<string, Process>, names: string[],
 *   cut: {from: string, to: string}[], flows: Flow[],
 *   recent: {at_ms: number, flows: Flow[]}[], dropped: Object<string, Dropped[]>,
 *   traffic: Object|null, agreement: {orders: number, identical: boolean}|null,
 *   controls: Object|null}} State
 */

/** Flows are shown as what moved in the last second. */
export const WINDOW_MS = 1000;

/** How long an entry that left a cache stays visible. */
export const DROPPED_MS = 1600;

/** @type {State} */
export const EMPTY = Object.freeze({
  n: 0, at_ms: 0, processes: {}, names: [], cut: [], flows: [], recent: [], dropped: {},
  traffic: null, agreement: null, controls: null,
});

/**
 * How many orders a working replica may seem to be behind only because the replicas were asked at
 * different moments: the orders of half a second.
 */
export const pollingSkew = ({ traffic }) => Math.ceil((traffic?.orders_per_s ?? 0) / 2);

/**
 * The state after a frame.
 *
 * @param {State} state
 * @param {Object} frame
 * @returns {State}
 */
export function fold(state, frame) {
  const processes = foldProcesses(state.processes, frame);
  const flows = frame.flows ?? [];
  const since = frame.at_ms - WINDOW_MS;
  return {
    n: frame.n,
    at_ms: frame.at_ms,
    processes,
    names: processes === state.processes ? state.names : sortedNames(processes),
    cut: frame.links ?? (frame.complete ? [] : state.cut),
    flows,
    recent: [...state.recent.filter((entry) => entry.at_ms > since), { at_ms: frame.at_ms, flows }],
    dropped: foldDropped(state, processes, frame.at_ms),
    traffic: frame.traffic ?? state.traffic,
    agreement: frame.agreement ?? state.agreement,
    controls: frame.controls ?? state.controls,
  };
}

function foldProcesses(old, frame) {
  const changed = frame.processes ?? [];
  const removed = frame.removed ?? [];
  if (!frame.complete && changed.length === 0 && removed.length === 0) return old;
  const next = frame.complete ? {} : { ...old };
  for (const process of changed) next[process.name] = process;
  for (const name of removed) delete next[name];
  return next;
}

const SERVICES = ['frontend', 'order', 'catalog'];

function sortedNames(processes) {
  return Object.values(processes)
    .sort((a, b) => SERVICES.indexOf(a.service) - SERVICES.indexOf(b.service)
      || a.ordinal - b.ordinal)
    .map((process) => process.name);
}

/** What left the caches a moment ago, so that one can see it go. */
function foldDropped(state, processes, now) {
  let next = state.dropped;
  const put = (name, entries) => {
    if (next === state.dropped) next = { ...next };
    if (entries.length > 0) next[name] = entries;
    else delete next[name];
  };
  for (const [name, entries] of Object.entries(state.dropped)) {
    const fresh = entries.filter((entry) => now - entry.at_ms < DROPPED_MS);
    if (!processes[name]) put(name, []);
    else if (fresh.length !== entries.length) put(name, fresh);
  }
  for (const [name, process] of Object.entries(processes)) {
    const before = state.processes[name]?.cache?.products;
    if (!before || before === process.cache?.products || !process.cache) continue;
    const gone = before
      .map((product, index) => ({ product, index, at_ms: now }))
      .filter((entry) => !process.cache.products.includes(entry.product));
    if (gone.length > 0) put(name, [...(next[name] ?? []), ...gone].slice(-process.cache.capacity));
  }
  return next;
}

/** The processes of a service, by ordinal. */
export function ofService(state, service) {
  return state.names.map((name) => state.processes[name])
    .filter((process) => process.service === service);
}

/** The leader of `order` or `catalog` that works now, or null. */
export function leaderOf(state, service) {
  let leader = null;
  for (const process of ofService(state, service)) {
    if (process.state !== 'up' || !process.replica?.leads) continue;
    if (!leader || process.replica.term > leader.replica.term) leader = process;
  }
  return leader;
}

/** The process that a flow's end means: its name, or the leader of the service it names. */
export function resolve(state, name) {
  if (name === 'clients' || state.processes[name]) return name;
  return (leaderOf(state, name) ?? ofService(state, name)[0])?.name ?? null;
}

const ratesOf = new WeakMap();

/**
 * What moved in the last second, per edge and kind.
 *
 * @param {State} state
 * @returns {Map<string, {from: string, to: string, kind: string, count: number, items: number,
 *   ms: number|null}>} by `from>to:kind`
 */
export function rates(state) {
  let sums = ratesOf.get(state.recent);
  if (sums) return sums;
  sums = new Map();
  for (const { flows } of state.recent) {
    for (const flow of flows) {
      const from = resolve(state, flow.from);
      const to = resolve(state, flow.to);
      if (!from || !to) continue;
      const key = `${from}>${to}:${flow.kind}`;
      const sum = sums.get(key) ?? { from, to, kind: flow.kind, count: 0, items: 0, ms: null };
      sum.count += flow.count;
      sum.items += flow.items;
      sum.ms = flow.ms ?? sum.ms;
      sums.set(key, sum);
    }
  }
  ratesOf.set(state.recent, sums);
  return sums;
}
