/** A small story: two shoppers' calls, an election, a lost message, a broken promise. */
export const data = () => ({
  title: 'test', seed: 7, command: 'toystore simulate --seed 7', mutation: ['skip-fence', 'It <b>breaks</b>.'],
  about: ['A run.'], left_out: ['The end.'], from: 0, to: 1000,
  broken: {
    promise: 'An order is never lost.', failure: 'I1',
    facts: [
      { at: 120, lane: 3, text: 'frontend-1 answers: order 17' },
      { at: 900, lane: 3, text: 'frontend-1 answers: there is no order 17' },
    ],
  },
  lanes: [
    { name: 'catalog-1', service: 'catalog' }, { name: 'order-1', service: 'order' },
    { name: 'order-2', service: 'order' }, { name: 'frontend-1', service: 'frontend' },
    { name: 'shoppers', service: 'client' },
  ],
  kinds: [
    { label: 'order', family: 'order', routine: false },
    { label: 'heartbeat', family: 'place', routine: true },
  ],
  texts: ['', '1 × Tux (key ab12)', 'order 17'],
  messages: [
    [100, 2, 4, 3, 0, 0, 0, 1, 0], [102, 3, 3, 1, 0, 0, 0, 1, 0], [110, 4, 1, 3, 0, 1, 0, 2, 0],
    [114, 6, 3, 4, 0, 1, 0, 2, 0], [130, 2, 1, 2, 1, 0, 0, 0, 0], [200, -1, 4, 3, 0, 0, 1, 1, 0],
    [300, 500, 3, 1, 0, 0, 0, 1, 1],
  ],
  events: [
    [50, 1, 1, 'leads', 'election', 'order-1 leads the order group in term 3'],
    [105, 1, 0, 'batch_reserved', 'order', 'order-1 has stock reserved for 1 orders of batch 1; 0 are refused'],
    [400, 1, 1, 'fault', 'fault', 'order-1 is killed (back in 300 ms)'],
    [700, 1, 1, 'started', 'good', 'order-1 is started'],
  ],
  faults: [
    { kind: 'kill', begin: 400, end: 700, lanes: [1], cuts: [], text: 'order-1 is killed' },
    { kind: 'full-disk', begin: 500, end: null, lanes: [2], cuts: [], text: 'order-2 has a full disk' },
  ],
  calls: [
    [1, 100, 120, 'order', 'ok', 'orders 1 × Tux (key ab12): order 17'],
    [2, 200, -1, 'order', 'unknown', 'orders 1 × Tux (key ab12): no answer'],
  ],
  states: [
    [0, 1, { life: 'up' }], [50, 1, { life: 'up', role: 'leader', term: 3, leader: 'order-1' }],
    [400, 1, { life: 'down', term: 3 }], [700, 1, { life: 'up' }], [10, 3, { life: 'up', lease: true }],
  ],
});
