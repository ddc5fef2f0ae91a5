/** Moving through time: by pointer, by keyboard, by buttons, and by playing from where one is. */
import { timeAt } from './timeline.js';

const STEP_MS = 10_000;

/**
 * @param {Object} app
 * @param {HTMLElement} track the slider
 * @param {{startDots: Function, clearDots: Function, still: MediaQueryList}} view
 */
export function startScrubbing(app, track, { startDots, clearDots, still }) {
  let timer = 0;

  const stop = () => {
    clearInterval(timer);
    app.playing = false;
  };

  /** Shows a moment; null, or anything later than the newest frame, is live. */
  const show = (at) => {
    const { latest, first } = app.history;
    app.at = at === null || at >= latest.at_ms ? null : Math.max(first.at_ms, at);
    if (app.at === null) stop();
    else app.done.add('scrub');
    clearDots();
    app.schedule();
  };
  app.show = (at) => {
    stop();
    show(at);
  };

  app.pause = () => {
    stop();
    // Not `show`: the newest frame would be live again.
    if (app.at === null) app.at = app.history.latest.at_ms - 1;
    clearDots();
    app.schedule();
  };

  app.play = () => {
    stop();
    app.playing = true;
    let last = performance.now();
    timer = setInterval(() => {
      const now = performance.now();
      const next = app.at + (now - last);
      last = now;
      const before = app.state;
      if (next >= app.history.latest.at_ms) return app.show(null);
      app.at = next;
      if (app.state !== before) {
        app.schedule();
        if (!still.matches) startDots(app.state);
      }
    }, 50);
    app.schedule();
  };

  /** Jumps to the notable event before or after the moment that is shown. */
  app.jump = (direction) => {
    const { events, latest } = app.history;
    const here = app.at ?? latest.at_ms;
    // A view shows what happened up to its frame, so the frame's time counts.
    const shown = app.state.at_ms;
    const found = direction < 0
      ? events.findLast((event) => event.at_ms < Math.min(here, shown) - 300)
      : events.find((event) => event.at_ms > Math.max(here, shown));
    if (found) app.show(frameAfter(found.at_ms));
    else if (direction > 0) app.show(null);
  };

  /** The first frame in which something that happened at a time is contained. */
  const frameAfter = (at_ms) => {
    const state = app.history.at(at_ms);
    return state.at_ms < at_ms ? app.history.step(state.at_ms, 1).at_ms : state.at_ms;
  };
  app.showEvent = (at_ms) => app.show(Math.min(frameAfter(at_ms), app.history.latest.at_ms - 1));

  const fromPointer = (event) => {
    const box = track.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    app.show(share > 0.995 ? null : timeAt(app.history, share));
  };
  track.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    track.setPointerCapture(event.pointerId);
    fromPointer(event);
  });
  track.addEventListener('pointermove', (event) => {
    if (track.hasPointerCapture(event.pointerId)) fromPointer(event);
  });

  track.addEventListener('keydown', (event) => {
    const here = app.at ?? app.history.latest.at_ms;
    const moves = {
      ArrowLeft: () => app.show(app.history.step(here, -1).at_ms),
      ArrowDown: () => app.show(app.history.step(here, -1).at_ms),
      ArrowRight: () => app.show(app.history.step(here, 1).at_ms),
      ArrowUp: () => app.show(app.history.step(here, 1).at_ms),
      PageUp: () => app.show(here - STEP_MS),
      PageDown: () => app.show(here + STEP_MS),
      Home: () => app.show(app.history.first.at_ms),
      End: () => app.show(null),
      Escape: () => app.show(null),
      ' ': () => (app.at === null || app.playing ? app.pause() : app.play()),
    };
    const move = moves[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move();
  });
}
