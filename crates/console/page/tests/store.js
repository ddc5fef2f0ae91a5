/** Frames of a made-up store, for the tests. */

export function process(name, more = {}) {
  const [service, ordinal] = name.split('-');
  return {
    name, service, ordinal: Number(ordinal), address: '127.0.0.1:1', state: 'up', since_ms: 0,
    faults: [],
    replica: service === 'frontend' ? null : replica(),
    cache: service === 'frontend' ? { capacity: 5, lease_valid: true, products: [] } : null,
    stock: null, ledger: null, ...more,
  };
}

export const replica = (more = {}) => ({
  role: 'follower', term: 3, leads: false, leader: 1, last_log: 10, applied: 10, disk_full: false,
  ...more,
});

export const leading = (more = {}) => replica({ role: 'leader', leads: true, ...more });

/** Two frontends, three order replicas of which the first leads, a catalog. */
export const processes = () => [
  process('frontend-1'), process('frontend-2'),
  process('order-1', { replica: leading() }), process('order-2'), process('order-3'),
  process('catalog-1', { replica: leading({ term: 2 }) }),
];

export const frame = (n, more = {}) => ({
  n, at_ms: 1_000_000 + n * 250, complete: false, processes: [], removed: [], events: [],
  dropped: 0, ...more,
});

export const first = (more = {}) => frame(1, { complete: true, processes: processes(), ...more });

let sequence = 0;
export const event = (at_ms, more = {}) => ({
  at_ms, process: 'order-1', sequence: (sequence += 1), kind: 'voted', topic: 'election',
  notable: true,
  text: 'order-1 votes for order-2 in term 4', ...more,
});
