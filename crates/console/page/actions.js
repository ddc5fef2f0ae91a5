/** What happens on a click, a key, or a change of an input. Elements say it in `data-action`. */
import { send } from './feed.js';
import { watchFor } from './inspector.js';
import { SHOPPERS } from './controls.js';
import { count } from './format.js';

/** A slider is followed when it rests, not at each step. */
const SETTLE_MS = 250;

const status = (text, kind) => {
  const element = document.getElementById('status');
  element.textContent = text;
  element.dataset.kind = kind;
};

/** @param {Object} app */
export function startActions(app) {
  const control = async (request, done) => {
    status('', '');
    const problem = await send(request);
    if (problem) status(problem, 'error');
    else if (done) status(done, 'done');
    return problem === null;
  };

  const onProcess = (action) => async ({ target, on }) => {
    const request = { action, process: target };
    if (on !== undefined) request.on = on === 'true';
    app.selected ??= target;
    const watch = on === 'false' ? null : watchFor(action);
    if (await control(request, watch ? `Done. Watch: ${watch}` : 'Done.')) app.done.add(action);
    app.schedule();
  };

  const select = (name) => {
    if (!app.picking) {
      app.selected = name;
      return;
    }
    if (app.picked.includes(name)) return;
    app.picked = [...app.picked, name];
    if (app.picked.length < 2) return;
    [app.cutFrom, app.cutTo] = app.picked;
    stopPicking();
    cut();
  };
  const stopPicking = () => {
    app.picking = false;
    app.picked = [];
    document.body.classList.remove('picking');
    status('', '');
  };
  const cut = () => {
    const { names } = app.state;
    const [from, to] = [app.cutFrom ?? names[0], app.cutTo ?? names[names.length - 1]];
    return control({ action: 'partition', from, to, both: app.bothWays },
      `${from} and ${to} are cut off from each other. “Heal all” mends it.`);
  };

  const actions = {
    select: ({ process }) => {
      select(process);
      if (app.picking) return;
      const panel = document.getElementById('inspector');
      (panel.querySelector('.actions button') ?? panel).scrollIntoView({ block: 'nearest' });
    },
    choose: ({ choice }) => select(choice),
    pick: () => {
      if (app.picking) return stopPicking();
      app.picking = true;
      app.picked = [];
      document.body.classList.add('picking');
      status('Select two processes in the diagram. Escape ends it.', 'done');
      document.getElementById('diagram').scrollIntoView({ block: 'nearest' });
    },
    partition: cut,
    heal: ({ from, to }) => control({ action: 'heal', from, to }, 'Healed.'),
    heal_all: () => control({ action: 'heal_all' }, 'Everything is healed.'),
    kill_all: () => control({ action: 'kill_all' }, 'All processes are stopped. Restart them, and '
      + 'compare the number of orders.'),
    restart_all: () => control({ action: 'restart_all' }, 'All processes start again.'),
    cache: ({ on }) => control({ action: 'cache', on: on === 'true' },
      `The caches are ${on === 'true' ? 'on' : 'off'}.`),
    live: () => app.show(null),
    pause: () => app.pause(),
    play: () => app.play(),
    previous_event: () => app.jump(-1),
    next_event: () => app.jump(1),
    scrub: ({ at }) => app.showEvent(Number(at)),
    dismiss: ({ hintId }) => app.done.add(hintId),
  };
  for (const action of ['kill', 'restart', 'freeze', 'resume', 'wipe_disk', 'slow_disk',
    'full_disk']) {
    actions[action] = onProcess(action);
  }

  const run = (element) => {
    const action = actions[element.dataset.action];
    if (!action || element.disabled) return;
    action(element.dataset);
    app.schedule();
  };
  document.addEventListener('click', (event) => {
    const element = event.target.closest?.('[data-action]');
    if (element) run(element);
  });
  // Boxes of the diagram are no real buttons: they need their keys told.
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      if (app.picking) stopPicking();
      else if (!app.live) app.show(null);
      app.schedule();
    }
    const element = event.target;
    if (element.getAttribute?.('role') !== 'button' || element.localName === 'button') return;
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    run(element);
  });
  startInputs(app, control);
}

function startInputs(app, control) {
  let timer = 0;
  const shoppers = () => {
    const value = (id) => document.getElementById(id).value;
    return control({
      action: 'shoppers',
      count: SHOPPERS[Number(value('shopper-count'))],
      order_probability: Number(value('shopper-probability')) / 100,
      hot_product: value('shopper-hot') || null,
    });
  };
  const show = (name, text) => {
    const output = document.querySelector(`[data-output="${name}"]`);
    // The text node stays: the next rendering changes it, too.
    if (output?.firstChild) output.firstChild.data = text;
  };
  document.addEventListener('input', ({ target }) => {
    const { shoppers: what, cutEnd } = target.dataset;
    if (cutEnd) app[cutEnd === 'from' ? 'cutFrom' : 'cutTo'] = target.value;
    if (target.id === 'cut-both') app.bothWays = target.checked;
    if (cutEnd) app.schedule();
    if (!what) return;
    if (what === 'count') {
      show('count', count(SHOPPERS[Number(target.value)]));
      target.setAttribute('aria-valuetext', SHOPPERS[Number(target.value)]);
    }
    if (what === 'probability') show('probability', target.value);
    clearTimeout(timer);
    timer = setTimeout(shoppers, SETTLE_MS);
  });
}
