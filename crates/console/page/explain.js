/**
 * What each thing on the page means, in plain words, and where to read more. Elements name their
 * entry in `data-explain`.
 *
 * @typedef {{title: string, text: string, page: string, section: string, anchor: string}} Entry
 */

const architecture = (section, anchor) => ({ page: 'architecture.md', section, anchor });
const ORDER = architecture('One order, from curl to three disks',
  'one-order-from-curl-to-three-disks');
const CACHE = architecture('A cache that is never stale', 'a-cache-that-is-never-stale');
const ELECTIONS = architecture('Elections', 'elections');
const PROCESSES = architecture('The processes', 'the-processes');
const DISKS = architecture('Full disks, slow disks', 'full-disks-slow-disks');
const LEDGER = architecture('The ledger', 'the-ledger');
const TAKEOVER = architecture('When the leader dies in the middle',
  'when-the-leader-dies-in-the-middle');
const MEMBERSHIP = architecture('Bootstrap and membership', 'bootstrap-and-membership');
const OVERLOAD = architecture('Overload', 'overload');

/** @type {Object<string, Entry>} */
export const EXPLANATIONS = {
  clients: { title: 'Clients', text: 'Everyone who uses the public API: simulated shoppers, a load '
    + 'test, your own curl. They read products and order them.', ...PROCESSES },
  frontend: { title: 'Frontend', text: 'Answers clients. It keeps products in a small cache, sends '
    + 'orders to the order leader, and notices when a leader is gone. It keeps nothing on disk, so '
    + 'any number of frontends may be lost.', ...PROCESSES },
  order: { title: 'Order replica', text: 'One of the processes that keep the same numbered list of '
    + 'orders on their own disks. One of them leads. An order counts when a majority has it on '
    + 'disk, so with three replicas any one may be lost.', ...PROCESSES },
  catalog: { title: 'Catalog', text: 'Holds the stock. It takes pieces out of stock for each batch '
    + 'of orders, and tells frontends which products to drop from their caches first.',
  ...PROCESSES },
  role: { title: 'Role', text: 'The leader takes orders and numbers them; followers copy its log. '
    + 'A '
    + 'candidate asks for votes. A learner receives the log but has no vote yet. An empty replica '
    + 'has not joined its group.', ...ELECTIONS },
  term: { title: 'Term', text: 'The time between two elections, numbered. A term has at most one '
    + 'leader. A higher term always wins, so an old leader that comes back cannot do harm. Each '
    + 'term has its own colour here.', ...ELECTIONS },
  log: { title: 'Log position', text: 'How many entries this replica has in its log. An entry is a '
    + 'batch of orders, or a change of the group.', ...architecture('The replicas’ logs',
    'the-replicas-logs') },
  lag: { title: 'Behind', text: 'How many log entries this replica is behind its leader. A few are '
    + 'normal under load: the numbers are read at slightly different times. A replica that was '
    + 'away '
    + 'catches up.', ...ORDER },
  lease: { title: 'Lease', text: 'The right of a frontend to answer from its cache, for one second '
    + 'at a time. Without it the frontend asks the catalog for each read, so it never serves a '
    + 'value '
    + 'that has changed.', ...CACHE },
  cache: { title: 'Cache', text: 'The products that this frontend remembers, most recently used '
    + 'first. When it is full, the last one goes. When the stock of a product is about to change, '
    + 'the catalog tells the frontend to drop it.', ...CACHE },
  ledger: { title: 'Ledger', text: 'Every order as a line, the same bytes on each replica. Numbers '
    + 'are 1, 2, 3 … without gaps. “Identical up to” is the number up to which the console '
    + 'compared '
    + 'them.', ...LEDGER },
  stock: { title: 'Stock', text: 'How many pieces of each product the catalog still has. It is '
    + 'never negative. A product that is sold out is restocked after a while.', ...LEDGER },
  gap: { title: 'Longest gap', text: 'The longest time in the last ten minutes in which orders '
    + 'waited and none was acknowledged. After the leader is killed it is some tens of '
    + 'milliseconds.', page: 'glossary.md', section: 'gap', anchor: '' },
  flow: { title: 'Flows', text: 'What moved in the last second. Single orders are dots, many '
    + 'orders '
    + 'are lines with numbers: the thicker, the more. Dots are slowed down; in reality an order '
    + 'takes '
    + 'a few milliseconds.', ...ORDER },
  'flow-order': { title: 'Orders', text: 'A client sends an order to a frontend, which passes it '
    + 'on '
    + 'to the order leader. Orders that arrive together share a request.', ...ORDER },
  'flow-read': { title: 'Reads', text: 'Clients ask for products. Most are answered from the '
    + 'frontend’s cache.', ...CACHE },
  'flow-fill': { title: 'Fill', text: 'The frontend fetches a product that its cache does not '
    + 'have, '
    + 'and keeps it.', ...CACHE },
  'flow-reserve': { title: 'Reserve', text: 'First step of an order: the catalog takes the pieces '
    + 'out of stock, for a whole batch of orders at once.', ...ORDER },
  'flow-place': { title: 'Place', text: 'Second step: the batch becomes an entry in the log, on '
    + 'the '
    + 'leader’s disk and on its followers’. When a majority has it, each order has a number and '
    + 'the '
    + 'client its answer.', ...ORDER },
  'flow-settle': { title: 'Settle', text: 'Third step: the catalog learns that the batch is sold. '
    + 'This usually travels with the next reservation.', ...ORDER },
  'flow-invalidate': { title: 'Invalidate', text: 'Before the stock of a product changes, the '
    + 'catalog tells each frontend that may have it to drop it.', ...CACHE },
  cut: { title: 'Connection cut', text: 'Nothing gets through in the direction of the arrow. Both '
    + 'processes run, but cannot hear each other.', ...ELECTIONS },
  state: { title: 'State of a process', text: 'Up: it answers. Starting: not yet. Frozen: it '
    + 'exists '
    + 'but does nothing, as on a machine that hangs. Stopped: it is gone until it is restarted. '
    + 'Unreachable: the console gets no answer.', ...PROCESSES },
  orders: { title: 'Orders per second', text: 'Orders that clients were told a number for. Half of '
    + 'them took no longer than p50, 99 of 100 no longer than p99.', page: 'performance.md',
  section: 'Performance', anchor: '' },
  reads: { title: 'Reads per second', text: 'Products that clients read. The hit ratio is the '
    + 'share '
    + 'that a cache answered.', ...CACHE },
  errors: { title: 'Errors and refusals', text: 'Errors: the client cannot know what happened, and '
    + 'repeats the order with its key. Refusals: a clear no, for example because a product is sold '
    + 'out, or because the store is overloaded.', ...OVERLOAD },
  timeline: { title: 'Timeline', text: 'Up to ten minutes. The curve is orders per second; the '
    + 'band below it shows who led, coloured by term. Drag to look at any earlier moment, or use '
    + 'the '
    + 'arrow keys. “Live” brings you back.', ...ELECTIONS },
  kill: { title: 'Kill', text: 'Ends the process at once, without a chance to clean up (SIGKILL). '
    + 'It stays stopped until you restart it.', ...TAKEOVER },
  freeze: { title: 'Freeze', text: 'Stops the process where it stands (SIGSTOP). It keeps its '
    + 'connections, but does not answer: the hardest fault to tell from a slow network.',
  ...ELECTIONS },
  wipe: { title: 'Wipe disk', text: 'Kills the process, deletes its data and starts it again. It '
    + 'comes back as a new member and copies everything from the leader.', ...MEMBERSHIP },
  slow: { title: 'Slow disk', text: 'Each write to this process’s disk takes longer.', ...DISKS },
  full: { title: 'Full disk', text: 'This process has no disk space left. A leader hands over to '
    + 'another replica; a follower stops accepting entries.', ...DISKS },
  partition: { title: 'Partition', text: 'Cuts the connection between two processes. Both go on '
    + 'running.', ...ELECTIONS },
};

/**
 * Where an entry is explained further: a link, or the path of the document.
 *
 * @param {Entry} entry
 * @param {string|null|undefined} base address of the documentation
 * @returns {{label: string, href: string|null}}
 */
export function readMore(entry, base) {
  const label = `docs/${entry.page}, “${entry.section}”`;
  if (!base || !/^https?:\/\//.test(base)) return { label, href: null };
  const anchor = entry.anchor ? `#${entry.anchor}` : '';
  return { label, href: `${base.replace(/\/?$/, '/')}${entry.page}${anchor}` };
}
