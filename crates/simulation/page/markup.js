/** Text as markup: every value is escaped, unless it is markup already. */
import { escapeText } from '../../console/page/escape.js';

class Markup {
  constructor(text) { this.text = text; }

  toString() { return this.text; }
}

const asMarkup = (value) => {
  if (value === null || value === undefined || value === false) return '';
  if (Array.isArray(value)) return value.map(asMarkup).join('');
  return value instanceof Markup ? value.text : escapeText(value);
};

/** A template literal whose values are escaped: html`<b>${name}</b>`. */
export function html(strings, ...values) {
  let text = strings[0];
  for (let at = 0; at < values.length; at += 1) text += asMarkup(values[at]) + strings[at + 1];
  return new Markup(text);
}
