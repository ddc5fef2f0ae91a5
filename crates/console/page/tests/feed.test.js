import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed, send } from '../feed.js';
import { History } from '../history.js';
import { event, first, frame } from './store.js';

/** Stands for the browser's EventSource: the test says what the server sends. */
class Source extends EventTarget {
  static all = [];
  constructor(url) {
    super();
    this.url = url;
    this.closed = false;
    Source.all.push(this);
  }

  close() {
    this.closed = true;
  }

  send(one) {
    this.dispatchEvent(new MessageEvent('frame', { data: JSON.stringify(one) }));
  }

  fail() {
    this.dispatchEvent(new Event('error'));
  }
}

/** Timers that run when a test says so. Those of node:test differ between Node 18 and 20. */
class Timers {
  constructor() {
    this.now = 0;
    this.due = new Map();
    this.real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
    globalThis.setTimeout = (run, ms) => {
      const timer = {};
      this.due.set(timer, { at: this.now + ms, run });
      return timer;
    };
    globalThis.clearTimeout = (timer) => this.due.delete(timer);
  }

  tick(ms) {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.due].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      this.due.delete(next[0]);
      this.now = next[1].at;
      next[1].run();
    }
    this.now = end;
  }

  end() {
    Object.assign(globalThis, this.real);
  }
}

const last = () => Source.all.at(-1);
/** Lets everything run that waits for an answer already given. */
const settle = async () => {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
};

let served;
let connections;
let feed;
let timers;

async function begin() {
  timers = new Timers();
  Source.all = [];
  globalThis.EventSource = Source;
  served = { 'api/about': { controls: false }, 'api/history': { frames: [first(), frame(2)] } };
  globalThis.fetch = async (path) => ({
    ok: path in served, status: 503, json: async () => served[path],
  });
  connections = [];
  feed = new Feed(new History(), {
    onAbout() {}, onChange() {}, onConnection: (live) => connections.push(live),
  });
  feed.start();
  await settle();
}

/** A test of a feed that has just been opened. */
function feedTest(name, run) {
  test(name, async () => {
    await begin();
    try {
      await run();
    } finally {
      feed.close();
      timers.end();
    }
  });
}

feedTest('history first, then the frames after it', () => {
  assert.equal(last().url, 'api/feed?after=2');
  last().send(frame(3));
  assert.equal(feed.history.latest.n, 3);
  assert.equal(connections.at(-1), true);
});

feedTest('a lost connection is made again, after the newest frame', async () => {
  last().send(frame(3));
  const lost = last();
  lost.fail();
  assert.ok(lost.closed);
  assert.equal(connections.at(-1), false);
  served['api/history'].frames.push(frame(3));
  timers.tick(250);
  await settle();
  assert.equal(last().url, 'api/feed?after=3');
  assert.equal(feed.history.states.length, 3);
});

feedTest('while the console is away, the page tries again, less and less often', async () => {
  served = {};
  last().fail();
  for (const wait of [250, 500, 1000, 2000, 3000, 3000]) {
    timers.tick(wait);
    await settle();
  }
  assert.equal(Source.all.length, 1);
  served = { 'api/about': {}, 'api/history': { frames: [first()] } };
  timers.tick(3000);
  await settle();
  assert.equal(Source.all.length, 2);
});

feedTest('a console that counts from the start again is asked for its history', async () => {
  const happened = event(1_000_400);
  last().send(frame(3, { events: [happened] }));
  const restarted = { ...first({ events: [happened] }), at_ms: 1_001_500 };
  served['api/history'] = { frames: [restarted] };
  last().send(restarted);
  timers.tick(250);
  await settle();
  assert.equal(feed.history.latest.n, 1);
  assert.equal(feed.history.latest.at_ms, 1_001_500);
  assert.equal(feed.history.states.length, 4, 'what the page saw before is kept');
  assert.equal(feed.history.events.length, 1, 'no event twice');
});

feedTest('a missing frame is fetched with the history', async () => {
  served['api/history'].frames.push(frame(3), frame(4), frame(5));
  last().send(frame(5));
  timers.tick(250);
  await settle();
  assert.deepEqual(feed.history.states.map((state) => state.n), [1, 2, 3, 4, 5]);
});

feedTest('silence counts as a lost connection', () => {
  last().send(frame(3));
  timers.tick(8000);
  assert.equal(connections.at(-1), false);
});

feedTest('a refused control says why', async () => {
  let asked;
  globalThis.fetch = async (path, options) => {
    asked = { path, ...options };
    const error = { message: 'order-1 is stopped' };
    return { ok: false, status: 409, json: async () => ({ error }) };
  };
  assert.equal(await send({ action: 'kill', process: 'order-1' }), 'order-1 is stopped');
  assert.equal(asked.headers['X-Toystore-Console'], '1');
  globalThis.fetch = async () => { throw new TypeError('no'); };
  assert.match(await send({ action: 'heal_all' }), /does not answer/);
});
