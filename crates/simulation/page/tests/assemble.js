/** The page as `src/story/page.rs` writes it, from the files as they are now. */
import { readFileSync } from 'node:fs';

const page = new URL('../', import.meta.url);
const read = (file) => readFileSync(new URL(file, page), 'utf8');

/** The files that the page embeds, in their order. */
export function embedded() {
  const source = read('../src/story/page.rs');
  return [...source.matchAll(/include_str!\("..\/..\/page\/([a-z.]+)"\)/g)].map((found) => found[1]);
}

/** All modules as one. */
export function script() {
  const modules = embedded().filter((file) => file.endsWith('.js'));
  return modules.map((file) => read(file).replace(/^import [^;]*;\n/gm, '').replace(/^export /gm, '')).join('\n');
}

/** The whole page with this JSON. */
export function assemble(json, title = 'test') {
  const styles = embedded().filter((file) => file.endsWith('.css')).map(read).join('\n');
  return read('story.html').replace('{{styles}}', () => styles).replace('{{script}}', () => script())
    .replace('{{title}}', title).replace('{{data}}', () => json.replaceAll('<', '\\u003c'));
}
