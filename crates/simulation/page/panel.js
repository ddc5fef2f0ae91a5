/** What each process is at an instant: the head of its lane, and a card. */
import { html } from './markup.js';
import { termClass } from '../../console/page/events.js';
import { stateAt } from './story.js';

const LIVES = { down: 'not running', up: 'running', paused: 'frozen', stopping: 'stopping' };

/** The role in one word. */
export function roleOf(state, service) {
  if (service === 'client') return '';
  if (!state || state.life === 'down') return 'down';
  if (state.life === 'paused') return 'frozen';
  if (state.life === 'stopping') return 'stopping';
  if (service === 'frontend') return state.lease ? 'lease' : 'no lease';
  return state.role ?? 'starting';
}

/** Narrower lanes have short names. */
const NARROW = 58;
const SHORT = {
  shoppers: 'shop', frontend: 'front', catalog: 'cat', order: 'ord', leader: 'lead', follower: 'foll',
  candidate: 'cand', stopping: 'stop', starting: 'start', learner: 'learn', lease: 'lease', 'no lease': '–',
};

/** The heads of the lanes. */
export function laneHeads(story, at, { gutter, width }) {
  const each = width / story.lanes.length;
  const fit = (word) => (each < NARROW ? SHORT[word] ?? word : word);
  const heads = story.lanes.map((lane, place) => {
    const state = stateAt(story, place, at);
    const role = roleOf(state, lane.service);
    const [name, number] = lane.name.split('-');
    const term = lane.service === 'frontend' || !state?.role ? null : state.term;
    return html`<div class="head ${lane.service} ${termClass(term ?? null)}" data-role="${role}"
      style="width:${each.toFixed(2)}px"><span class="name"><span>${fit(name)}</span>${
      number ? html`<span class="dash">-</span><b>${number}</b>` : ''}</span><span class="role">${fit(role)}</span><span
      class="in-term">${term ? `${each < NARROW ? 't' : 'term'} ${term}` : ''}</span></div>`;
  });
  return html`<div class="heads" style="padding-left:${gutter}px">${heads}</div>`;
}

/** The facts about a process, as pairs. */
export function factsOf(state, service) {
  if (!state) return [['state', 'not started yet']];
  const facts = [['state', LIVES[state.life]]];
  const add = (name, value) => { if (value !== undefined && value !== null) facts.push([name, value]); };
  add('role', state.role);
  add('term', state.term);
  if (state.role !== 'leader') add(service === 'frontend' ? 'orders to' : 'follows', state.leader);
  if (state.takes_orders !== undefined) add('orders', state.takes_orders ? 'taken' : 'not yet: taking over');
  add('last order', state.placed);
  add('log ends', state.log);
  add('applied', state.applied);
  add('checkpoint', state.checkpoint);
  if (service === 'frontend' && state.life === 'up') add('cache', state.lease ? 'in use (lease)' : 'not used (no lease)');
  add('disk', state.disk);
  return facts;
}

/** The cards of all processes. */
export function cards(story, at) {
  return html`<div class="cards">${story.lanes.map((lane, place) => {
    if (lane.service === 'client') return '';
    const state = stateAt(story, place, at);
    const role = roleOf(state, lane.service);
    const term = lane.service === 'frontend' ? null : state?.term;
    const faults = story.faults.filter((fault) => fault.begin <= at && fault.until > at && fault.lanes.includes(place));
    return html`<article class="card ${termClass(term ?? null)}" data-role="${role}"><h3>${lane.name}</h3>
      <dl>${factsOf(state, lane.service).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>${
      faults.map((fault) => html`<p class="trouble">${fault.kind.replaceAll('-', ' ')}</p>`)}</article>`;
  })}</div>`;
}
