import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { EXPLANATIONS } from '../explain.js';

const page = new URL('../', import.meta.url);
const read = (name) => readFileSync(new URL(name, page), 'utf8');
const files = readdirSync(page).filter((name) => /\.(js|css|html|svg)$/.test(name));

test('each explanation leads to a document, and to the lesson that treats it', () => {
  for (const [id, { more }] of Object.entries(EXPLANATIONS)) {
    assert.match(more[0].href, /^docs\/[a-z]+#[a-z-]+$/, id);
    assert.match(more[1].href, /^docs\/lessons\/\d-[a-z-]+(#[a-z-]+)?$/, id);
    assert.match(more[1].label, new RegExp(`^Lesson ${more[1].href.match(/\d/)[0]}: `), id);
  }
});

test('everything that is explained has an explanation', () => {
  for (const name of files.filter((file) => /\.(js|html)$/.test(file))) {
    for (const [, id] of read(name).matchAll(/data-explain'?[=:] ?["']([a-z-]+)["']/g)) {
      assert.ok(EXPLANATIONS[id], `${name}: ${id}`);
    }
  }
});

test('the page asks nobody else, and runs nothing inline', () => {
  const html = read('index.html');
  assert.ok(!/<script(?![^>]*src=)/.test(html) && !/ style=| on\w+=/.test(html));
  for (const name of files) {
    const text = read(name).replaceAll('http://www.w3.org/2000/svg', '');
    assert.ok(!/(src|href|import|url\(|fetch\()[^\n]{0,12}https?:/.test(text), name);
    assert.ok(!/innerHTML|insertAdjacentHTML|document\.write|eval\(/.test(text), name);
  }
});

test('all files that are named exist', () => {
  for (const [, name] of read('index.html').matchAll(/assets\/([\w.-]+)/g)) {
    assert.ok(existsSync(new URL(name, page)), name);
  }
  for (const file of files.filter((name) => name.endsWith('.js'))) {
    for (const [, name] of read(file).matchAll(/from '\.\/([\w.-]+)'/g)) {
      assert.ok(existsSync(new URL(name, page)), `${file}: ${name}`);
    }
  }
});

test('text has enough contrast, in both themes', () => {
  const themes = read('theme.css').split(':root[data-theme="dark"]');
  for (const [theme, css] of [['light', themes[0]], ['dark', themes[1]]]) {
    const colours = Object.fromEntries([...css.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g)]
      .map(([, name, value]) => [name, value]));
    const pairs = [['ink', 'bg'], ['ink', 'surface'], ['ink', 'sunken'], ['muted', 'surface'],
      ['muted', 'bg'], ['muted', 'sunken'], ['good', 'surface'], ['bad', 'surface'],
      ['warn', 'surface'],
      ['good', 'good-bg'], ['bad', 'bad-bg'], ['warn', 'warn-bg'], ['warn', 'sunken'],
      ['on-accent', 'accent'], ['accent', 'surface'], ['surface', 'ink']];
    for (const name of ['order', 'fill', 'reserve', 'place', 'settle', 'invalidate']) {
      pairs.push([name, 'surface']);
    }
    for (let term = 0; term < 8; term += 1) {
      pairs.push([`term-${term}`, 'surface'], ['surface', `term-${term}`]);
    }
    for (const [text, background] of pairs) {
      const ratio = contrast(colours[text], colours[background]);
      assert.ok(ratio >= 4.5, `${theme}: ${text} on ${background} is ${ratio.toFixed(2)}`);
    }
  }
});

/** WCAG 2.2, relative luminance and contrast ratio. */
function contrast(a, b) {
  const luminance = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}
