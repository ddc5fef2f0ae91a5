/** Text for HTML: for the console and for stories. */

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** The text as it stands in an element, or in a quoted attribute. */
export function escapeText(text) {
  return String(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);
}
