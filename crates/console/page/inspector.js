/** The selected process: its facts, and what one can do to it. */
import { h } from './vnode.js';
import { count, duration, plural } from './format.js';
import { termClass } from './events.js';
import { leaderOf, pollingSkew } from './state.js';

/**
 * What can be done to a process: what it does, and what to watch for.
 *
 * @typedef {{action: string, explain: string, title: string, text: string, watch: string,
 *   fault?: string, replicas?: boolean}} Action
 */

/** @type {Action[]} */
const ACTIONS = [
  { action: 'kill', explain: 'kill', title: 'Kill', text: 'The process ends at once, without '
    + 'warning.', watch: 'the log says who notices, who is elected, and how long orders waited.' },
  { action: 'freeze', explain: 'freeze', title: 'Freeze', text: 'The process stops where it stands '
    + 'but keeps its connections.', watch: 'others must find out by waiting, so it takes longer '
    + 'than a '
    + 'kill.' },
  { action: 'slow_disk', explain: 'slow', title: 'Slow disk', fault: 'slow disk', replicas: true,
    text: 'Each write takes longer.', watch: 'p50 of orders: it rises if the leader is slow, '
      + 'hardly if a '
    + 'follower is.' },
  { action: 'full_disk', explain: 'full', title: 'Full disk', fault: 'full disk', replicas: true,
    text: 'No space is left for new entries.', watch: 'a leader hands over to a replica with '
      + 'space.' },
  { action: 'wipe_disk', explain: 'wipe', title: 'Wipe disk', replicas: true, text: 'The process '
    + 'loses all its data and starts empty.', watch: 'it joins as a new member and copies the '
    + 'ledger.' },
];
const RESTART = { action: 'restart', explain: 'kill', title: 'Restart', text: 'Starts the process '
  + 'again, with the data on its disk.', watch: 'it catches up with what it has missed.' };
const RESUME = { action: 'resume', explain: 'freeze', title: 'Resume', text: 'The process '
  + 'continues '
  + 'where it was.', watch: 'it finds out that the others have moved on.' };

/** What to watch for after an action, or null. */
export function watchFor(action) {
  return [...ACTIONS, RESTART, RESUME].find((one) => one.action === action)?.watch ?? null;
}

/** The actions that make sense for a process in its state. */
export function actionsFor(process) {
  if (process.state === 'stopped') return [RESTART];
  const allowed = ACTIONS.filter((action) => !action.replicas || process.service !== 'frontend');
  if (process.state === 'frozen') {
    return [RESUME, ...allowed.filter((action) => action.action === 'kill')];
  }
  return [...allowed, RESTART];
}

/** A button for each process: the diagram without pointing. */
export function choices(state, selected) {
  return state.names.map((name) => h('button', {
    key: name, type: 'button', class: 'choice', 'data-action': 'choose', 'data-choice': name,
    'aria-pressed': name === selected ? 'true' : 'false',
  }, name));
}

/**
 * @param {import('./state.js').State} state
 * @param {{selected: string|null, controls: boolean, live: boolean}} view
 */
export function inspector(state, { selected, controls, live }) {
  const process = state.processes[selected];
  if (!process) return h('p', { class: 'empty' }, 'Select a process in the diagram.');
  return [
    facts(process, state),
    controls ? h('div', { class: 'actions' }, actionsFor(process)
      .map((action) => actionRow(action, process, live))) : null,
  ];
}

function facts(process, state) {
  const { replica, cache, ledger } = process;
  const rows = [fact('state', 'State', `${process.state}, for `
    + duration(Math.max(0, state.at_ms - process.since_ms)))];
  if (replica) {
    const leader = leaderOf(state, process.service);
    rows.push(fact('role', 'Role', role(process)),
      fact('term', 'Term', h('span', { class: `term ${termClass(replica.term)}` }, replica.term)),
      fact('log', 'Log', `${plural(replica.last_log, 'entry', 'entries')}, ${count(replica.applied)} applied`));
    if (leader && leader.name !== process.name) {
      const behind = Math.max(0, leader.replica.last_log - replica.last_log);
      rows.push(fact('lag', 'Behind', process.state === 'up' && behind <= pollingSkew(state) ? `in step with ${leader.name}`
        : `${plural(behind, 'entry', 'entries')} behind ${leader.name}`));
    }
  }
  if (cache) {
    rows.push(fact('lease', 'Lease', cache.lease_valid ? 'valid: answers from its cache'
      : 'none: asks the catalog for each read'),
    fact('cache', 'Cache', `${cache.products.length} of ${cache.capacity} places used`));
  }
  if (ledger) rows.push(fact('ledger', 'Ledger', plural(ledger.orders, 'order')));
  rows.push(h('div', { key: 'address', class: 'fact' }, h('dt', null, 'Address'),
    h('dd', null, process.address)));
  return h('dl', { class: 'facts' }, rows);
}

function role({ state, replica }) {
  // What it said last: it may not know what happened since.
  if (state !== 'up') return `was ${replica.role}`;
  if (replica.role === 'follower' && replica.leader !== null) {
    return `follower of replica ${replica.leader}`;
  }
  if (replica.role === 'leader' && !replica.leads) return 'leader, not confirmed by a majority';
  return replica.role;
}

const fact = (id, title, value) => h('div', { key: id, class: 'fact' },
  h('dt', null, h('button', { type: 'button', class: 'explain', 'data-explain': id }, title)),
  h('dd', null, value));

function actionRow(action, process, live) {
  const on = action.fault ? process.faults.includes(action.fault) : null;
  return h('div', { key: action.action, class: 'action' },
    h('button', {
      type: 'button', 'data-action': action.action, 'data-target': process.name, disabled: !live,
      class: action === RESTART || action === RESUME ? 'repair' : 'break',
      'data-on': on === null ? null : String(!on), 'aria-pressed': on === null ? null : String(on),
      'aria-describedby': `about-${action.action}`,
    }, on ? `${action.title}: on` : action.title),
    h('p', { id: `about-${action.action}` }, action.text, ' ',
      h('span', { class: 'watch' }, `Watch: ${action.watch}`)));
}
