import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  comfortableSpan, entriesAround, faultsIn, firstNotBefore, messagesIn, nextTime, readStory, stateAt, statesIn,
} from '../story.js';
import { data } from './data.js';

const story = readStory(data());
const lane = (name) => story.lanes.findIndex((it) => it.name === name);

test('lanes go from the clients inwards, and everything refers to them', () => {
  assert.deepEqual(story.lanes.map((it) => it.name), ['shoppers', 'frontend-1', 'catalog-1', 'order-1', 'order-2']);
  const [first] = story.messages;
  assert.deepEqual([first.from, first.to], [lane('shoppers'), lane('frontend-1')]);
  assert.equal(story.facts[0].lane, lane('frontend-1'));
  assert.deepEqual(story.faults[0].lanes, [lane('order-1')]);
});

test('a state lasts until the next one', () => {
  assert.equal(stateAt(story, lane('order-1'), 49).role, undefined);
  assert.equal(stateAt(story, lane('order-1'), 50).role, 'leader');
  assert.equal(stateAt(story, lane('order-1'), 699).life, 'down');
  assert.equal(stateAt(story, lane('frontend-1'), 9), null);
  assert.equal(stateAt(story, lane('order-2'), 1000), null);
  assert.deepEqual(statesIn(story, lane('order-1'), 60, 500).map((it) => it.at), [50, 400]);
});

test('a window has the messages that are under way in it, however long they take', () => {
  assert.deepEqual(messagesIn(story, 103, 112).map((it) => it.sent), [102, 110]);
  assert.deepEqual(messagesIn(story, 700, 710).map((it) => it.sent), [300]);
  assert.equal(messagesIn(story, 801, 810).length, 0);
  assert.equal(messagesIn(story, 200, 200)[0].fate, 'lost');
});

test('a fault without an end lasts until the story ends', () => {
  assert.equal(faultsIn(story, 950, 960).length, 1);
  assert.equal(faultsIn(story, 450, 460).length, 1);
  assert.equal(faultsIn(story, 600, 600).length, 2);
});

test('the next and the previous time', () => {
  assert.equal(nextTime([1, 5, 9], 5, false), 9);
  assert.equal(nextTime([1, 5, 9], 5, true), 1);
  assert.equal(nextTime([1, 5, 9], 9, false), null);
  assert.deepEqual(story.moments, [50, 120, 400, 700, 900]);
  assert.deepEqual(story.faultTimes, [400, 500]);
});

test('the log has what matters, and the rest on request', () => {
  const around = (show) => entriesAround(story, 410, show);
  const { entries, current } = around({ calls: false, details: false });
  assert.deepEqual(entries.map((it) => it.at), [50, 120, 400, 700, 900]);
  assert.equal(entries[current].at, 400);
  assert.equal(around({ calls: true, details: true }).entries.length, 8);
  assert.equal(entriesAround(story, 0, { calls: false, details: false }).current, -1);
  const few = entriesAround(story, 900, { calls: true, details: true }, 2);
  assert.equal(few.entries.length + few.before + few.after, 8);
});

test('places in sorted lists', () => {
  const items = [{ at: 1 }, { at: 3 }, { at: 3 }, { at: 7 }];
  assert.deepEqual([0, 3, 4, 8].map((at) => firstNotBefore(items, at)), [0, 1, 3, 4]);
});

test('a window shows a few dozen messages, whatever the story is', () => {
  const span = comfortableSpan(story, 900);
  assert.ok(span >= 30 && span <= 1000, span);
  assert.ok(comfortableSpan(readStory({ ...data(), messages: [], broken: null }), 0) >= 30);
});
