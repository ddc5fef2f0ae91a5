/**
 * What each thing on the page means, in plain words, and where to read more: in the documents that
 * the console serves itself. Elements name their entry in `data-explain`.
 *
 * @typedef {{label: string, href: string}} Link
 * @typedef {{title: string, text: string, more: Link[]}} Entry
 */

const link = (label, href) => ({ label, href });

const ORDER = link('One order, from curl to three disks',
  'docs/architecture#one-order-from-curl-to-three-disks');
const CACHE = link('A cache that is never stale', 'docs/architecture#a-cache-that-is-never-stale');
const ELECTIONS = link('Elections', 'docs/architecture#elections');
const PROCESSES = link('The processes', 'docs/architecture#the-processes');
const DISKS = link('Full disks, slow disks', 'docs/architecture#full-disks-slow-disks');
const LEDGER = link('The ledger', 'docs/architecture#the-ledger');
const LOGS = link('The replicas’ logs', 'docs/architecture#the-replicas-logs');
const TAKEOVER = link('When the leader dies in the middle',
  'docs/architecture#when-the-leader-dies-in-the-middle');
const MEMBERSHIP = link('Bootstrap and membership', 'docs/architecture#bootstrap-and-membership');
const OVERLOAD = link('Overload', 'docs/architecture#overload');
const GAP = link('Glossary: gap', 'docs/glossary#gap');

/** Where a lesson treats something: to try it oneself. */
export const LESSONS = {
  cache: link('Lesson 1: cache and leases', 'docs/lessons/1-cache-and-leases'),
  unheard: link('Lesson 1: a frontend that the catalog cannot reach',
    'docs/lessons/1-cache-and-leases#a-frontend-that-the-catalog-cannot-reach'),
  races: link('Lesson 2: invalidation races', 'docs/lessons/2-invalidation-races'),
  elections: link('Lesson 3: elections', 'docs/lessons/3-elections'),
  kill: link('Lesson 3: kill', 'docs/lessons/3-elections#kill'),
  freeze: link('Lesson 3: freeze', 'docs/lessons/3-elections#freeze'),
  fencing: link('Lesson 4: split brain and fencing', 'docs/lessons/4-split-brain-and-fencing'),
  twoLeaders: link('Lesson 4: two leaders', 'docs/lessons/4-split-brain-and-fencing#two-leaders'),
  once: link('Lesson 5: exactly once', 'docs/lessons/5-exactly-once'),
  unknown: link('Lesson 5: an outcome that nobody knows',
    'docs/lessons/5-exactly-once#an-outcome-that-nobody-knows'),
  recovery: link('Lesson 6: crash recovery', 'docs/lessons/6-crash-recovery'),
  killAll: link('Lesson 6: kill everything', 'docs/lessons/6-crash-recovery#kill-everything'),
  quorum: link('Lesson 7: quorum and membership', 'docs/lessons/7-quorum-and-membership'),
  wiped: link('Lesson 7: a disk is gone', 'docs/lessons/7-quorum-and-membership#a-disk-is-gone'),
  full: link('Lesson 7: a disk is full', 'docs/lessons/7-quorum-and-membership#a-disk-is-full'),
  saysNo: link('Lesson 8: a store that says no', 'docs/lessons/8-overload#a-store-that-says-no'),
  overload: link('Lesson 8: overload', 'docs/lessons/8-overload'),
};

/** @type {Object<string, Entry>} */
export const EXPLANATIONS = {
  clients: {
    title: 'Clients',
    text: 'Everyone who uses the public API: simulated shoppers, a load test, your own curl. They '
      + 'read products and order them.',
    more: [PROCESSES, LESSONS.overload],
  },
  frontend: {
    title: 'Frontend',
    text: 'Answers clients. It keeps products in a small cache, sends orders to the order leader, '
      + 'and notices when a leader is gone. It keeps nothing on disk, so any number of '
      + 'frontends may be lost.',
    more: [PROCESSES, LESSONS.cache],
  },
  order: {
    title: 'Order replica',
    text: 'One of the processes that keep the same numbered list of orders on their own disks. '
      + 'One of them leads. An order counts when a majority has it on disk, so with three '
      + 'replicas any one may be lost.',
    more: [PROCESSES, LESSONS.quorum],
  },
  catalog: {
    title: 'Catalog',
    text: 'Holds the stock. It takes pieces out of stock for each batch of orders, and tells '
      + 'frontends which products to drop from their caches first.',
    more: [PROCESSES, LESSONS.races],
  },
  role: {
    title: 'Role',
    text: 'The leader takes orders and numbers them; followers copy its log. A candidate asks for '
      + 'votes. A learner receives the log but has no vote yet. An empty replica has not joined '
      + 'its group.',
    more: [ELECTIONS, LESSONS.elections],
  },
  term: {
    title: 'Term',
    text: 'The time between two elections, numbered. A term has at most one leader. A higher term '
      + 'always wins, so an old leader that comes back cannot do harm. Each term has its own '
      + 'colour here.',
    more: [ELECTIONS, LESSONS.fencing],
  },
  log: {
    title: 'Log position',
    text: 'How many entries this replica has in its log. An entry is a batch of orders, or a '
      + 'change of the group.',
    more: [LOGS, LESSONS.recovery],
  },
  lag: {
    title: 'Behind',
    text: 'How many log entries this replica is behind its leader. A few are normal under load: '
      + 'the numbers are read at slightly different times. A replica that was away catches up.',
    more: [ORDER, LESSONS.quorum],
  },
  lease: {
    title: 'Lease',
    text: 'The right of a frontend to answer from its cache, for one second at a time. Without it '
      + 'the frontend asks the catalog for each read, so it never serves a value that has '
      + 'changed.',
    more: [CACHE, LESSONS.cache],
  },
  cache: {
    title: 'Cache',
    text: 'The products that this frontend remembers, most recently used first. When it is full, '
      + 'the last one goes. When the stock of a product is about to change, the catalog tells '
      + 'the frontend to drop it.',
    more: [CACHE, LESSONS.cache],
  },
  ledger: {
    title: 'Ledger',
    text: 'Every order as a line, the same bytes on each replica. Numbers are 1, 2, 3 … without '
      + 'gaps. “Identical up to” is the number up to which the console compared them.',
    more: [LEDGER, LESSONS.recovery],
  },
  stock: {
    title: 'Stock',
    text: 'How many pieces of each product the catalog still has. It is never negative. A product '
      + 'that is sold out is restocked after a while.',
    more: [LEDGER, LESSONS.once],
  },
  gap: {
    title: 'Longest gap',
    text: 'The longest time in the last ten minutes in which orders waited and none was '
      + 'acknowledged. After the leader is killed it is some tens of milliseconds.',
    more: [GAP, LESSONS.kill],
  },
  flow: {
    title: 'Flows',
    text: 'What moved in the last second. Single orders are dots, many orders are lines with '
      + 'numbers: the thicker, the more. Dots are slowed down; in reality an order takes a few '
      + 'milliseconds.',
    more: [ORDER, LESSONS.once],
  },
  'flow-order': {
    title: 'Orders',
    text: 'A client sends an order to a frontend, which passes it on to the order leader. Orders '
      + 'that arrive together share a request.',
    more: [ORDER, LESSONS.once],
  },
  'flow-read': {
    title: 'Reads',
    text: 'Clients ask for products. Most are answered from the frontend’s cache.',
    more: [CACHE, LESSONS.cache],
  },
  'flow-fill': {
    title: 'Fill',
    text: 'The frontend fetches a product that its cache does not have, and keeps it.',
    more: [CACHE, LESSONS.races],
  },
  'flow-reserve': {
    title: 'Reserve',
    text: 'First step of an order: the catalog takes the pieces out of stock, for a whole batch '
      + 'of orders at once.',
    more: [ORDER, LESSONS.once],
  },
  'flow-place': {
    title: 'Place',
    text: 'Second step: the batch becomes an entry in the log, on the leader’s disk and on its '
      + 'followers’. When a majority has it, each order has a number and the client its answer.',
    more: [ORDER, LESSONS.quorum],
  },
  'flow-settle': {
    title: 'Settle',
    text: 'Third step: the catalog learns that the batch is sold. This usually travels with the '
      + 'next reservation.',
    more: [ORDER, LESSONS.once],
  },
  'flow-invalidate': {
    title: 'Invalidate',
    text: 'Before the stock of a product changes, the catalog tells each frontend that may have '
      + 'it to drop it.',
    more: [CACHE, LESSONS.races],
  },
  cut: {
    title: 'Connection cut',
    text: 'Nothing gets through in the direction of the arrow. Both processes run, but cannot '
      + 'hear each other.',
    more: [ELECTIONS, LESSONS.unheard],
  },
  state: {
    title: 'State of a process',
    text: 'Up: it answers. Starting: not yet. Frozen: it exists but does nothing, as on a machine '
      + 'that hangs. Stopped: it is gone until it is restarted. Unreachable: the console gets '
      + 'no answer.',
    more: [PROCESSES, LESSONS.freeze],
  },
  orders: {
    title: 'Orders per second',
    text: 'Orders that clients were told a number for. Half of them took no longer than p50, 99 '
      + 'of 100 no longer than p99.',
    more: [ORDER, LESSONS.overload],
  },
  reads: {
    title: 'Reads per second',
    text: 'Products that clients read. The hit ratio is the share that a cache answered.',
    more: [CACHE, LESSONS.cache],
  },
  errors: {
    title: 'Errors and refusals',
    text: 'Errors: the client cannot know what happened, and repeats the order with its key. '
      + 'Refusals: a clear no, for example because a product is sold out, or because the store '
      + 'is overloaded.',
    more: [OVERLOAD, LESSONS.unknown],
  },
  waiting: {
    title: 'Waiting requests',
    text: 'Orders and reads that frontends have passed on, and that have no answer yet. Usually '
      + 'each waits for a moment only. While a connection is cut they wait, because the answer may '
      + 'still come: this is no error yet.',
    more: [OVERLOAD, LESSONS.unheard],
  },
  timeline: {
    title: 'Timeline',
    text: 'Up to ten minutes. The curve is orders per second; the band below it shows who led, '
      + 'coloured by term. Drag to look at any earlier moment, or use the arrow keys. “Live” '
      + 'brings you back.',
    more: [ELECTIONS, LESSONS.elections],
  },
  kill: {
    title: 'Kill',
    text: 'Ends the process at once, without a chance to clean up (SIGKILL). It stays stopped '
      + 'until you restart it.',
    more: [TAKEOVER, LESSONS.kill],
  },
  freeze: {
    title: 'Freeze',
    text: 'Stops the process where it stands (SIGSTOP). It keeps its connections, but does not '
      + 'answer: the hardest fault to tell from a slow network.',
    more: [ELECTIONS, LESSONS.freeze],
  },
  wipe: {
    title: 'Wipe disk',
    text: 'Kills the process, deletes its data and starts it again. It comes back as a new member '
      + 'and copies everything from the leader.',
    more: [MEMBERSHIP, LESSONS.wiped],
  },
  slow: {
    title: 'Slow disk',
    text: 'Each write to this process’s disk takes longer.',
    more: [DISKS, LESSONS.saysNo],
  },
  full: {
    title: 'Full disk',
    text: 'This process has no disk space left. A leader hands over to another replica; a '
      + 'follower stops accepting entries.',
    more: [DISKS, LESSONS.full],
  },
  partition: {
    title: 'Partition',
    text: 'Cuts the connection between two processes. Both go on running.',
    more: [ELECTIONS, LESSONS.twoLeaders],
  },
};
