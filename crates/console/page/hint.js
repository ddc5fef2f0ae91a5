/** What to try next: one suggestion at a time, for somebody who has never seen this page. */
import { h } from './vnode.js';
import { leaderOf } from './state.js';
import { curl } from './controls.js';
import { LESSONS } from './explain.js';
import { links } from './glossary.js';

/**
 * The suggestion for a state. Each is made until it was followed.
 *
 * @param {import('./state.js').State} state
 * @param {Object} about
 * @param {{done: Set<string>, live: boolean}} view
 * @returns {{id: string, title: string, text: string, buttons: Object[], command?: boolean,
 *   lesson?: import('./explain.js').Link}|null}
 */
export function suggestion(state, about, { done, live }) {
  if (!live) return PAST;
  if (!about.controls) return done.has('read_only') ? null : READ_ONLY;
  return broken(state) ?? next(state, about, done);
}

const PAST = {
  id: 'past',
  title: 'You are looking at the past.',
  text: 'Everything on this page is as it was at that moment. Move with the arrow keys: one frame, '
    + 'or ten seconds with Page Up and Page Down.',
  buttons: [{ action: 'live', text: 'Back to live' }],
};
const READ_ONLY = {
  id: 'read_only',
  title: 'You can look, not break.',
  text: 'This console watches a store that somebody else runs. Point at anything to read what it '
    + 'is. Drag the timeline to see what happened in the last ten minutes.',
  buttons: [],
};

/** What to do about something that is broken, if it is. */
function broken(state) {
  const are = (wanted) => state.names.filter((name) => state.processes[name].state === wanted);
  const stopped = are('stopped');
  if (stopped.length > 1) {
    return {
      id: 'restart_all',
      title: 'Several processes are stopped.',
      text: 'Start them again: each acknowledged order is still on the disks.',
      buttons: [{ action: 'restart_all', text: 'Restart all', kind: 'repair' }],
      lesson: LESSONS.killAll,
    };
  }
  if (stopped.length === 1) {
    return {
      id: 'restart',
      title: `${stopped[0]} is stopped.`,
      text: 'Read in the log what the others did about it. Restart it, and watch it catch up with '
        + 'what it has missed.',
      buttons: [{ action: 'restart', target: stopped[0], text: `Restart ${stopped[0]}`,
        kind: 'repair' }],
      lesson: LESSONS.recovery,
    };
  }
  const [frozen] = are('frozen');
  if (frozen) {
    return {
      id: 'resume',
      title: `${frozen} is frozen.`,
      text: 'It still has its connections, so the others had to find out by waiting. Resume it: it '
        + 'learns that they have moved on.',
      buttons: [{ action: 'resume', target: frozen, text: `Resume ${frozen}`, kind: 'repair' }],
      lesson: LESSONS.freeze,
    };
  }
  const lesson = lessonOfFaults(state);
  if (!lesson) return null;
  return {
    id: 'heal',
    title: 'Something is broken on purpose.',
    text: 'Watch how the store copes: the headline says whether orders still get through. Then '
      + 'heal it, and watch it recover.',
    buttons: [{ action: 'heal_all', text: 'Heal all', kind: 'repair' }],
    lesson,
  };
}

/** The lesson that treats what is cut or what is wrong with a disk, or null if nothing is. */
function lessonOfFaults({ cut, names, processes }) {
  const have = (fault) => names.some((name) => processes[name].faults.includes(fault));
  const service = (name) => processes[name]?.service;
  const unheard = ({ from, to }) => [service(from), service(to)]
    .sort().join() === 'catalog,frontend';
  if (cut.some(unheard)) return LESSONS.unheard;
  if (cut.length > 0) return LESSONS.twoLeaders;
  if (have('full disk')) return LESSONS.full;
  return have('slow disk') ? LESSONS.saysNo : null;
}

/** What to try next in a store that works. */
function next(state, about, done) {
  const leader = leaderOf(state, 'order');
  if (!leader) return null;
  if (!done.has('kill')) {
    return {
      id: 'kill',
      title: 'Try this first: kill the leader.',
      text: `${leader.name} numbers all orders. Kill it: the other replicas elect a new leader `
        + 'within moments, no order is lost, and the log tells how.',
      buttons: [{ action: 'kill', target: leader.name, text: `Kill ${leader.name}`,
        kind: 'break' }],
      lesson: LESSONS.kill,
    };
  }
  if (!done.has('scrub')) {
    return {
      id: 'scrub',
      title: 'See it again.',
      text: 'Drag the timeline back to the moment of the kill, or click on a time in the log. The '
        + 'whole page shows the store as it was.',
      buttons: [],
    };
  }
  if (!done.has('freeze')) {
    return {
      id: 'freeze',
      title: 'Harder to notice: freeze the leader.',
      text: 'A frozen process keeps its connections, so nobody is told that it is gone. Compare '
        + 'how long orders wait.',
      buttons: [{ action: 'freeze', target: leader.name, text: `Freeze ${leader.name}`,
        kind: 'break' }],
      lesson: LESSONS.freeze,
    };
  }
  if (!about.store || done.has('curl')) return null;
  return {
    id: 'curl',
    title: 'Order something yourself.',
    text: 'Watch your product leave the caches, and your order appear in all ledgers:',
    command: true,
    buttons: [],
    lesson: LESSONS.once,
  };
}

export function hint(state, about, view) {
  const found = suggestion(state, about, view);
  if (!found) return null;
  return h('div', { class: 'hint-box', 'data-hint': found.id },
    h('p', null, h('b', null, found.title), ' ', found.text,
      found.lesson ? [' ', links([found.lesson])] : null),
    found.command ? curl(about) : null,
    h('div', { class: 'buttons' },
      found.buttons.map((button) => h('button', {
        key: button.action, type: 'button', class: button.kind ?? 'plain',
        'data-action': button.action, 'data-target': button.target ?? null,
      }, button.text)),
      found.buttons.length === 0 ? h('button', { type: 'button', class: 'plain',
        'data-action': 'dismiss', 'data-hint-id': found.id }, 'Got it') : null));
}
