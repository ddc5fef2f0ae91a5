import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assemble, embedded, script } from './assemble.js';

test('every file of the page is embedded', () => {
  const files = readdirSync(new URL('../', import.meta.url)).filter((file) => /\.(js|css|html)$/.test(file));
  assert.deepEqual(embedded().sort(), files.sort());
});

test('all modules together are one valid script: no name is used twice', () => {
  const directory = mkdtempSync(join(tmpdir(), 'story-'));
  try {
    const file = join(directory, 'page.mjs');
    writeFileSync(file, script());
    const checked = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    assert.equal(checked.status, 0, checked.stderr);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the page requests nothing', () => {
  const page = assemble('{}');
  for (const external of ['https://', '@import', 'url(', 'fetch(', 'src=']) assert.ok(!page.includes(external), external);
  assert.ok(!/^(import|export) /m.test(script()));
});
