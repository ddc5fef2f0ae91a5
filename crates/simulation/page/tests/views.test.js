import assert from 'node:assert/strict';
import { test } from 'node:test';
import { html } from '../markup.js';
import { readStory } from '../story.js';
import { ARROWS_MAX, Space, diagram, grouped, legend, visible, words } from '../diagram.js';
import { marks, momentAt, overview, rowsOf } from '../overview.js';
import { cards, factsOf, laneHeads, roleOf } from '../panel.js';
import { log, sentence } from '../log.js';
import { head } from '../head.js';
import { entriesAround } from '../story.js';
import { data } from './data.js';

const story = readStory(data());
const view = {
  at: 120, from: 90, span: 60, width: 800, height: 600, show: { routine: false, answers: true, labels: true },
};
const draw = (changes) => String(diagram(story, { ...view, ...changes }));
const count = (text, part) => text.split(part).length - 1;

test('values are escaped, markup is not escaped twice', () => {
  assert.equal(String(html`<b title="${'"'}">${'<&>'}${html`<i>${1}</i>`}${[1, null, false]}</b>`),
    '<b title="&quot;">&lt;&amp;&gt;<i>1</i>1</b>');
});

test('messages are arrows; routine and answers can be hidden', () => {
  assert.equal(count(draw(), '<g class="message'), 4);
  assert.equal(count(draw({ show: { ...view.show, routine: true } }), '<g class="message'), 5);
  assert.equal(count(draw({ show: { ...view.show, answers: false } }), '<g class="message'), 2);
  assert.ok(draw().includes('order 1 × Tux'));
  assert.ok(!draw({ show: { ...view.show, labels: false } }).includes('class="words"'));
});

test('a lost message ends in a cross, and says so', () => {
  const text = draw({ at: 200, from: 190 });
  assert.ok(text.includes('class="lost"') && text.includes('is lost'), text);
});

test('faults are bands with a word, facts have their numbers, the leader its term', () => {
  const text = draw({ at: 450, from: 380, span: 400 });
  assert.equal(count(text, 'class="band"'), 2);
  assert.ok(text.includes('killed') && text.includes('full disk'));
  assert.ok(text.includes('leads term-3'));
  assert.ok(draw({ at: 120, from: 90 }).includes('class="fact"'));
});

test('what has not happened yet is pale', () => {
  assert.equal(count(draw({ at: 105 }), ' later"'), 2);
});

test('thousands of messages are drawn as few', () => {
  const many = Array.from({ length: 5000 }, (_, at) => ({
    ...story.messages[at % 4], sent: at, until: at + 2,
  }));
  const groups = grouped(many, (at) => at / 10);
  assert.ok(groups.length < 300, groups.length);
  assert.equal(groups.reduce((sum, group) => sum + group.count, 0), 5000);
  assert.equal(words(groups[0].message, 12), `${groups[0].message.label} ×12`);
  assert.equal(grouped(many.slice(0, ARROWS_MAX), (at) => at).length, ARROWS_MAX);
});

test('a lost message is never hidden in a group', () => {
  const many = Array.from({ length: 600 }, (_, at) => ({
    ...story.messages[0], sent: at / 100, fate: at === 300 ? 'lost' : 'arrives',
  }));
  assert.ok(grouped(many, (at) => at).some((group) => group.message.fate === 'lost' && group.count === 1));
});

test('labels do not lie on each other', () => {
  const space = new Space();
  assert.ok(space.take(0, 50, 10));
  assert.ok(!space.take(40, 90, 14));
  assert.ok(space.take(60, 90, 10));
  assert.ok(space.take(0, 50, 40));
});

test('the strip: moments, marks, rows of faults', () => {
  assert.equal(momentAt(story, 400, 800), 500);
  assert.equal(momentAt(story, -5, 800), 0);
  assert.deepEqual(marks(0, 1000, 6), [0, 200, 400, 600, 800, 1000]);
  assert.deepEqual(rowsOf(story.faults).map((it) => it.row), [0, 1]);
  const crowd = Array.from({ length: 9 }, (_, at) => ({ begin: at, until: 100 }));
  assert.equal(Math.max(...rowsOf(crowd).map((it) => it.row)), 4);
  const text = String(overview(story, { ...view }));
  assert.equal(count(text, '<g class="fact"'), 2);
  assert.equal(count(text, 'class="fault"'), 2);
});

test('processes in words', () => {
  assert.equal(roleOf(null, 'order'), 'down');
  assert.equal(roleOf({ life: 'paused' }, 'order'), 'frozen');
  assert.equal(roleOf({ life: 'up', lease: true }, 'frontend'), 'lease');
  assert.equal(roleOf({ life: 'up', role: 'candidate' }, 'order'), 'candidate');
  assert.deepEqual(factsOf({ life: 'up', role: 'leader', term: 3, takes_orders: false }, 'order'),
    [['state', 'running'], ['role', 'leader'], ['term', 3], ['orders', 'not yet: taking over']]);
  const text = String(cards(story, 600));
  assert.ok(text.includes('not running') && text.includes('full disk'));
  assert.ok(String(laneHeads(story, 120, { gutter: 40, width: 700 })).includes('data-role="leader"'));
});

test('the log is in step: past, current, later', () => {
  const text = String(log(entriesAround(story, 410, { calls: true, details: true })));
  assert.equal(count(text, ' current"'), 1);
  assert.ok(text.includes('fact 1') && text.includes('class="term term-3"'));
  assert.ok(text.includes('mark-fault">fault</span>') && text.includes('mark-good">up</span>'));
  assert.equal(sentence('order-1 leads term 3').length, 3);
});

test('the head names the promise, the facts and what is left out, and escapes them', () => {
  const text = String(head(story));
  assert.ok(text.includes('An order is never lost.') && text.includes('there is no order 17'));
  assert.ok(text.includes('It &lt;b&gt;breaks') && text.includes('The end.'));
  assert.ok(String(head(readStory({ ...data(), broken: null, mutation: null }))).includes('No promise was broken'));
});

test('the legend tells that messages are drawn in groups', () => {
  const many = { ...data(), messages: Array.from({ length: 900 }, (_, at) => [100 + at / 20, 2, 4, 3, 0, 0, 0, 1, 0]) };
  const crowded = readStory(many);
  assert.ok(String(legend(crowded, view)).includes('drawn in groups'));
  assert.ok(visible(crowded, view).length > ARROWS_MAX);
  assert.ok(count(String(diagram(crowded, view)), '<g class="message') < 60);
});
