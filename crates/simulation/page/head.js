/** What the story is about, and the two facts that contradict each other. */
import { html } from './markup.js';
import { seconds } from './format.js';
import { sentence } from './log.js';

/** @param {Object} story */
export function head(story) {
  const { broken, mutation } = story;
  const verdict = broken
    ? html`<p class="headline bad">Broken promise: ${broken.promise}</p>`
    : html`<p class="headline good">No promise was broken in this run.</p>`;
  const bug = mutation ? html`<p class="bug"><b>${mutation[0]}</b>: ${mutation[1]}</p>` : '';
  const facts = broken
    ? html`<ol class="facts">${story.facts.map((fact) => html`<li><button type="button" data-at="${fact.at}"
      data-fact="${fact.number}"><span class="number">${fact.number}</span><span class="at">at ${seconds(fact.at)} s</span><span
      class="text">${sentence(fact.text)}</span></button></li>`)}</ol>`
    : '';
  return html`${bug}${verdict}${facts}<details class="about"><summary>About this run${
    story.left_out.length > 0 ? ', and what is left out' : ''}</summary><ul>${
    [...story.about, ...story.left_out].map((text) => html`<li>${text}</li>`)}${
    broken ? html`<li>The checker says: ${broken.failure}</li>` : ''}<li>The same story again: <code>${
    story.command}</code></li><li>Positions in logs (term.index) are those that a replica last told in a message.</li></ul></details>`;
}
