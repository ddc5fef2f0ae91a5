/** Times and names as text. */

/** Virtual milliseconds as seconds: `3.212`. */
export const seconds = (ms) => (ms / 1000).toFixed(3);

/** A length of time: `40 ms`, `1.2 s`. */
export const lasting = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** A text of at most so many letters. */
export const cut = (text, letters) => (text.length > letters
  ? `${text.slice(0, Math.max(letters - 1, 1))}…`
  : text);
