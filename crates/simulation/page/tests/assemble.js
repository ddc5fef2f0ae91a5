/** The page as `src/story/page.rs` writes it, from the files as they are now. */
import { readFileSync } from 'node:fs';

const page = new URL('../', import.meta.url);
const read = (file) => readFileSync(new URL(file, page), 'utf8');

/** What the page embeds, in its order: its own files, and those of the console's page. */
function paths() {
  const source = read('../src/story/page.rs');
  return [...source.matchAll(/include_str!\("..\/..\/((?:..\/console\/)?page\/[a-z.]+)"\)/g)].map((found) => found[1]);
}

const readPath = (path) => read(`../${path}`);

/** The page's own files among them. */
export const embedded = () => paths().filter((path) => !path.startsWith('../')).map((path) => path.slice('page/'.length));

/** All modules as one. */
export function script() {
  const modules = paths().filter((path) => path.endsWith('.js'));
  return modules.map((path) => readPath(path).replace(/^import [^;]*;\n/gm, '').replace(/^export /gm, '')).join('\n');
}

/** The whole page with this JSON. */
export function assemble(json, title = 'test') {
  const styles = paths().filter((path) => path.endsWith('.css')).map(readPath).join('\n');
  return read('story.html').replace('{{styles}}', () => styles).replace('{{script}}', () => script())
    .replace('{{title}}', title).replace('{{data}}', () => json.replaceAll('<', '\\u003c'));
}
