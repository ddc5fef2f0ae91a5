/**
 * The connection to the console's server: its history once, then frames as they come. It reconnects
 * by itself; a console that was restarted is asked for its history again.
 */

const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 3000;
/** The server sends a frame at least once a second; after this the connection counts as dead. */
const SILENCE_MS = 8000;
/** What is missing for less than this is not worth loading ten minutes again. */
const SHORT_GAP_MS = 2000;

async function json(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

export class Feed {
  /**
   * @param {import('./history.js').History} history
   * @param {{onAbout: Function, onChange: Function, onConnection: Function}} listeners
   */
  constructor(history, listeners) {
    this.history = history;
    this.listeners = listeners;
    this.retry = RETRY_FIRST_MS;
    this.source = null;
  }

  async start() {
    try {
      this.listeners.onAbout(await json('api/about'));
      this.history.load((await json('api/history')).frames);
      this.listeners.onChange(null);
      this.open();
    } catch {
      this.again();
    }
  }

  open() {
    this.close();
    const source = new EventSource(`api/feed?after=${this.history.latest.n}`);
    this.source = source;
    source.addEventListener('open', () => this.alive());
    source.addEventListener('frame', (event) => {
      if (this.source === source) this.take(JSON.parse(event.data));
    });
    // The browser would repeat the request with the old `after`.
    source.addEventListener('error', () => this.source === source && this.again());
  }

  take(frame) {
    this.alive();
    this.retry = RETRY_FIRST_MS;
    const { n, at_ms } = this.history.latest;
    const follows = frame.n === n + 1 || (frame.n === n && frame.at_ms === at_ms)
      || (frame.complete && frame.n > n && frame.at_ms - at_ms < SHORT_GAP_MS);
    // Something is missing: the tab slept, or the console was restarted.
    if (!follows && this.history.states.length > 0) {
      this.again(RETRY_FIRST_MS);
      return;
    }
    if (this.history.push(frame)) this.listeners.onChange(frame);
    else this.again();
  }

  alive() {
    this.listeners.onConnection(true);
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.again(), SILENCE_MS);
  }

  again(wait = this.retry) {
    this.close();
    this.listeners.onConnection(false);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), wait);
    this.retry = Math.min(RETRY_MOST_MS, this.retry * 2);
  }

  close() {
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }
}

/**
 * Asks the server to do something to the store.
 *
 * @param {Object} control
 * @returns {Promise<string|null>} what went wrong, or null
 */
export async function send(control) {
  try {
    const response = await fetch('api/control', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Toystore-Console': '1' },
      body: JSON.stringify(control),
    });
    if (response.ok) return null;
    const answer = await response.json().catch(() => null);
    return answer?.error?.message ?? `The console answered ${response.status}.`;
  } catch {
    return 'The console does not answer. The page reconnects by itself; then try again.';
  }
}
