/**
 * Ten minutes of the store: a state per frame, the notable events, and what the timeline draws.
 * Everything is bounded, so a tab may stay open for days.
 */
import { EMPTY, fold, leaderOf } from './state.js';

/** Notable events kept; an hour of a calm store, or a minute of a wild one. */
const MAX_EVENTS = 4000;
/** Details (batches, votes, fills) kept: they are for looking at now, not for scrubbing. */
const MAX_DETAILS = 800;
/** A point of the timeline's curve per second. */
const POINT_MS = 1000;

/** Where `at_ms` belongs in a list that is sorted by it: after everything that is not later. */
export function after(list, at_ms) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].at_ms <= at_ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The identity of an event. A restarted process counts from 1 again, hence the time. */
export const eventKey = (event) => `${event.process}:${event.sequence}:${event.at_ms}`;

export class History {
  /** @param {{keepMs?: number}} [options] */
  constructor({ keepMs = 600_000 } = {}) {
    this.keepMs = keepMs;
    this.clear();
  }

  clear() {
    /** @type {import('./state.js').State[]} */
    this.states = [];
    this.events = [];
    this.details = [];
    this.points = [];
    /** Who led the orders when: `{at_ms, to_ms, leader, term}`. */
    this.terms = [];
    this.known = new Set();
  }

  get latest() {
    return this.states[this.states.length - 1] ?? EMPTY;
  }

  get first() {
    return this.states[0] ?? EMPTY;
  }

  /**
   * Adds a frame. False if it does not follow: it is old, or frames in between are missing and it
   * is not complete. The caller then loads the history again.
   */
  push(frame) {
    const { n, at_ms } = this.latest;
    if (frame.n === n && frame.at_ms === at_ms) return true;
    if (!frame.complete && frame.n !== n + 1) return false;
    // A console that was restarted counts from the start, but time goes on.
    if (frame.at_ms < at_ms) return false;
    this.append(frame);
    this.forget(frame.at_ms - this.keepMs);
    return true;
  }

  /**
   * Takes a history from the server. What the page saw before the server's first frame stays, so a
   * console that was restarted does not take the past away.
   */
  load(frames) {
    if (frames.length === 0) return;
    const from = frames[0].at_ms;
    const cut = (list) => list.splice(after(list, from - 0.001));
    for (const list of [this.states, this.points]) cut(list);
    while (this.terms.length > 0 && this.last(this.terms).at_ms >= from) this.terms.pop();
    for (const frame of frames) this.append(frame);
    this.forget(this.latest.at_ms - this.keepMs);
  }

  last(list) {
    return list[list.length - 1];
  }

  append(frame) {
    const state = fold(this.latest, frame);
    this.states.push(state);
    for (const event of frame.events ?? []) this.addEvent(event);
    this.addPoint(state);
    this.addTerm(state);
  }

  addEvent(event) {
    const list = event.notable ? this.events : this.details;
    const key = eventKey(event);
    if (this.known.has(key)) return;
    this.known.add(key);
    // Events of different processes arrive a little out of order.
    const place = after(list, event.at_ms);
    if (place === list.length) list.push(event);
    else list.splice(place, 0, event);
    const most = event.notable ? MAX_EVENTS : MAX_DETAILS;
    if (list.length > most * 1.25) this.drop(list, list.length - most);
  }

  addPoint(state) {
    const last = this.last(this.points);
    if (last && state.at_ms - last.at_ms < POINT_MS - 50) return;
    const traffic = state.traffic;
    this.points.push({
      at_ms: state.at_ms,
      orders: traffic?.orders_per_s ?? 0,
      errors: traffic?.errors_per_s ?? 0,
    });
  }

  addTerm(state) {
    const leader = leaderOf(state, 'order');
    const name = leader?.name ?? null;
    const term = leader?.replica.term ?? null;
    const last = this.last(this.terms);
    if (last) last.to_ms = state.at_ms;
    if (last && last.leader === name && last.term === term) return;
    this.terms.push({ at_ms: state.at_ms, to_ms: state.at_ms, leader: name, term });
  }

  forget(before) {
    // In pieces: to move a long list for each frame would cost more than it frees.
    if (this.states.length > 0 && this.states[0].at_ms < before - 5000) {
      for (const list of [this.states, this.points]) list.splice(0, after(list, before));
    }
    while (this.terms.length > 1 && this.terms[0].to_ms < before) this.terms.shift();
    for (const list of [this.events, this.details]) {
      if (list.length > 0 && list[0].at_ms < before - 5000) this.drop(list, after(list, before));
    }
  }

  drop(list, number) {
    for (const event of list.splice(0, number)) this.known.delete(eventKey(event));
  }

  /** The state at a time: the last one that is not later. */
  at(at_ms) {
    return this.states[Math.max(0, after(this.states, at_ms) - 1)] ?? EMPTY;
  }

  /** The state `steps` frames from the one at a time. */
  step(at_ms, steps) {
    const here = Math.max(0, after(this.states, at_ms) - 1);
    return this.states[Math.min(this.states.length - 1, Math.max(0, here + steps))] ?? EMPTY;
  }

  /**
   * The newest events up to a time, newest first.
   *
   * @param {number} at_ms
   * @param {{limit: number, details: boolean}} options
   */
  eventsUntil(at_ms, { limit, details }) {
    const until = (list) => {
      const end = after(list, at_ms);
      return list.slice(Math.max(0, end - limit), end);
    };
    const chosen = until(this.events);
    if (details) chosen.push(...until(this.details));
    return chosen.sort((a, b) => b.at_ms - a.at_ms || b.sequence - a.sequence).slice(0, limit);
  }
}
