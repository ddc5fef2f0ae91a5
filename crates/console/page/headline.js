/** The state of the store in a sentence or two, for somebody who sees it for the first time. */
import { leaderOf, ofService } from './state.js';
import { duration, list, plural } from './format.js';
import { waitsLong } from './numbers.js';

/**
 * What works and what does not.
 *
 * @param {import('./state.js').State} state
 */
export function assess(state) {
  const group = (service) => {
    const all = ofService(state, service);
    const working = all.filter((process) => process.state === 'up'
      && process.replica?.role !== 'empty');
    const needed = Math.floor(all.length / 2) + 1;
    return { all, working, needed, hasMajority: working.length >= needed,
      leader: leaderOf(state, service) };
  };
  const frontends = ofService(state, 'frontend');
  return {
    order: group('order'),
    catalog: group('catalog'),
    frontends,
    frontendsUp: frontends.filter((process) => process.state === 'up'),
    broken: state.names.map((name) => state.processes[name])
      .filter((process) => process.state !== 'up' || process.faults.length > 0),
    known: state.names.length > 0,
  };
}

/**
 * The headline: `level` is `ok`, `degraded` (works, but something is broken), `down` (orders wait)
 * or `unknown`.
 *
 * @param {import('./state.js').State} state
 * @returns {{level: string, text: string, first: string, rest: string}}
 */
export function headline(state) {
  const now = assess(state);
  if (!now.known) return said('unknown', ['Waiting for the first process to answer.']);
  const stop = whyOrdersWait(now);
  const sentences = stop ? [stop] : [`${now.order.leader.name} leads the orders in term `
    + `${now.order.leader.replica.term}.`];
  if (now.frontendsUp.length > 0) sentences.push(caches(now, state));
  const problems = broken(now, state);
  const waits = waiting(state);
  if (problems) sentences.push(problems);
  else if (!stop && !waits) sentences.push('Nothing is broken.');
  sentences.push(waits);
  if (!stop && now.order.working.length < now.order.all.length) sentences.push(majority(now.order));
  const level = stop ? 'down' : problems || waits ? 'degraded' : 'ok';
  return said(level, sentences.filter(Boolean));
}

function said(level, [first, ...others]) {
  const rest = others.join(' ');
  return { level, text: rest ? `${first} ${rest}` : first, first, rest };
}

function whyOrdersWait({ order, catalog, frontends, frontendsUp }) {
  if (frontends.length > 0 && frontendsUp.length === 0) {
    return 'No order can come in: no frontend answers.';
  }
  if (!order.hasMajority) {
    return `Orders wait: ${order.working.length} of ${order.all.length} order replicas work, and `
      + `${order.needed} must have an order on disk before it counts. Nothing is lost.`;
  }
  if (!catalog.hasMajority) {
    return catalog.all.length === 1
      ? 'Orders wait: the catalog, which has the stock, does not answer. Nothing is lost.'
      : `Orders wait: ${catalog.working.length} of ${catalog.all.length} catalog replicas work, `
        + `and ${catalog.needed} are needed. Nothing is lost.`;
  }
  if (!order.leader) return 'Orders wait: the order replicas have no leader at the moment.';
  if (!catalog.leader) return 'Orders wait: the catalog has no leader at the moment.';
  return null;
}

function caches({ frontendsUp }, state) {
  if (state.controls && !state.controls.cache) return 'The caches are off.';
  const without = frontendsUp.filter((process) => process.cache && !process.cache.lease_valid);
  if (without.length > 0) {
    const are = without.length === 1 ? 'has' : 'have';
    const its = without.length === 1 ? 'does not use its cache' : 'do not use their caches';
    return `${list(without.map((process) => process.name))} ${are} no lease and ${its}.`;
  }
  if (frontendsUp.some((process) => !process.cache)) return '';
  const n = frontendsUp.length;
  if (n === 1) return `${frontendsUp[0].name} serves from its cache.`;
  return `${n === 2 ? 'Both' : `All ${n}`} frontends serve from their caches.`;
}

const STATE_WORDS = { starting: 'starting', frozen: 'frozen', stopped: 'stopped',
  unreachable: 'unreachable' };

function broken(now, state) {
  const parts = [];
  for (const [word, text] of Object.entries(STATE_WORDS)) {
    const names = now.broken.filter((process) => process.state === word);
    if (names.length > 0) {
      parts.push(`${list(names.map((process) => process.name))} `
        + `${names.length === 1 ? 'is' : 'are'} ${text}`);
    }
  }
  for (const process of now.broken) {
    if (process.state === 'up' && process.faults.length > 0) {
      parts.push(`${process.name} has ${list(process.faults.map((fault) => `a ${fault}`))}`);
    }
  }
  if (state.cut.length > 0) parts.push(cuts(state.cut));
  return parts.length === 0 ? '' : `${capital(list(parts))}.`;
}

function waiting(state) {
  if (!waitsLong(state)) return '';
  const { waiting: requests, waiting_ms: ms } = state.traffic;
  return requests === 1 ? `1 request has waited for ${duration(ms)}.`
    : `${plural(requests, 'request')} wait, the oldest for ${duration(ms)}.`;
}

function cuts(cut) {
  const pairs = new Set(cut.map(({ from, to }) => [from, to].sort().join(' and ')));
  if (pairs.size === 1) return `${[...pairs][0]} cannot reach each other`;
  return `${plural(pairs.size, 'connection')} ${pairs.size === 1 ? 'is' : 'are'} cut`;
}

/** Process names begin sentences in lower case; other words do not. */
function capital(text) {
  return /^(frontend|order|catalog)\b/.test(text) ? text : text[0].toUpperCase() + text.slice(1);
}

function majority({ working, all, needed }) {
  const spare = working.length - needed;
  return `${working.length} of ${all.length} order replicas are a majority, so orders continue`
    + `${spare === 0 ? '; if one more fails, they wait' : ''}.`;
}
