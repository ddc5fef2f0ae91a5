/** The log: one sentence per event, in step with the moment that is shown. */
import { html } from './markup.js';
import { seconds } from './format.js';
import { TOPIC_NAMES, termClass } from '../../console/page/events.js';

const PARTS = /\b((?:frontend|order|catalog)-\d+|client \d+|term \d+)\b/;

/** A sentence, with names of processes and terms marked. */
export function sentence(text) {
  return text.split(PARTS).filter(Boolean).map((part) => {
    if (!PARTS.test(part)) return part;
    if (!part.startsWith('term ')) return html`<b>${part}</b>`;
    return html`<span class="term ${termClass(Number(part.slice(5)))}">${part}</span>`;
  });
}

function line(entry, state) {
  const { topic } = entry;
  const name = entry.level === 'fact' ? `fact ${entry.number}` : TOPIC_NAMES[topic] ?? topic;
  return html`<li class="${entry.level} ${state}" data-topic="${topic}"><button type="button"
    class="at" data-at="${entry.at}" title="Show this moment">${seconds(entry.at)}</button><span
    class="mark mark-${topic}">${name}</span><span class="text ${entry.outcome ?? ''}">${sentence(entry.text)}</span></li>`;
}

/** @param {ReturnType<import('./story.js').entriesAround>} around */
export function log({ entries, current, before, after }) {
  const more = (count, where) => (count > 0
    ? html`<li class="more">${count} ${where}</li>`
    : '');
  const state = (place) => {
    if (place > current) return 'later';
    return place === current ? 'current' : 'past';
  };
  return html`${more(before, 'before')}${entries.map((entry, place) => line(entry, state(place)))}${more(after, 'later')}`;
}
