/** The ends of the replicas' ledgers, side by side, line by line. */
import { h } from './vnode.js';
import { count, plural } from './format.js';
import { ofService, pollingSkew } from './state.js';
import { termClass } from './events.js';

const LINES = 8;

/**
 * The lines of each replica's ledger. Lines with the same number stand beside each other; a replica
 * that is too far behind for that shows its own last lines.
 *
 * @param {import('./state.js').State} state
 */
export function ledgerColumns(state) {
  const replicas = ofService(state, 'order');
  const newest = Math.max(0, ...replicas.map((process) => process.ledger?.orders ?? 0));
  return replicas.map((process) => {
    const { ledger } = process;
    if (!ledger) return { process, aligned: false, lines: [], behind: null, inStep: false };
    const aligned = newest - ledger.orders < LINES;
    const byNumber = new Map(ledger.tail.map((entry) => [entry.number, entry]));
    const last = aligned ? newest : ledger.orders;
    const lines = [];
    for (let number = last; number > Math.max(0, last - LINES); number -= 1) {
      lines.push(byNumber.get(number) ?? { number, product: null, quantity: 0 });
    }
    const behind = newest - ledger.orders;
    const inStep = process.state === 'up' && behind <= pollingSkew(state);
    return { process, aligned, lines, behind: inStep ? 0 : behind, inStep };
  });
}

/** @param {import('./state.js').State} state */
export function ledgers(state) {
  const columns = ledgerColumns(state);
  return [agreement(state), h('div', { class: 'ledgers' }, columns.map(column))];
}

function agreement({ agreement: found }) {
  if (!found) return h('p', { class: 'agreement' }, 'Not compared yet.');
  if (!found.identical) {
    return h('p', { class: 'agreement alert', 'data-identical': 'false' },
      `The ledgers differ at or before order ${count(found.orders)}. This must never happen.`);
  }
  return h('p', { class: 'agreement good', 'data-identical': 'true' },
    'Identical up to order ', h('b', null, count(found.orders)), '.');
}

function column({ process, aligned, lines, behind, inStep }) {
  const away = process.state !== 'up';
  const leads = !away && process.replica?.leads;
  return h('section', {
    key: process.name, class: `ledger ${away ? 'away' : ''}`, 'data-ledger': process.name,
    'aria-label': `Ledger of ${process.name}`,
  },
  h('h3', { class: leads ? termClass(process.replica.term) : null }, process.name,
    h('small', null, away ? process.state : leads ? 'leader' : '')),
  h('p', { class: 'size' },
    process.ledger ? plural(process.ledger.orders, 'order') : 'no ledger yet',
    behind > 0 ? h('span', { class: 'behind' }, ` ${count(behind)} behind`) : null),
  h('ol', { class: aligned || inStep ? 'lines' : 'lines apart' }, lines.map((entry) => h('li', {
    key: String(entry.number), class: entry.product !== null ? null : inStep ? 'coming' : 'missing',
  },
  h('span', { class: 'number' }, count(entry.number)),
  h('span', { class: 'product' }, entry.product ?? (inStep ? '…' : 'not here yet')),
  h('span', { class: 'quantity' }, entry.product === null ? '' : `× ${count(entry.quantity)}`)))));
}
