/**
 * The tooltip of everything with `data-explain`: on hover, and on keyboard focus. It stays while
 * the pointer is on it, Escape closes it. Enter on a term moves the focus to its link.
 */
import { patch } from './patch.js';
import { tip } from './glossary.js';

const SHOW_AFTER_MS = 350;
const HIDE_AFTER_MS = 250;

/**
 * @param {HTMLElement} element the tooltip
 */
export function startTooltip(element) {
  let anchor = null;
  let timer = 0;
  const later = (ms, action) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms);
  };
  const hide = () => {
    clearTimeout(timer);
    anchor?.removeAttribute('aria-describedby');
    anchor = null;
    element.hidden = true;
  };
  const show = (target) => {
    const content = tip(target.dataset.explain);
    if (!content || !target.isConnected) return;
    anchor?.removeAttribute('aria-describedby');
    anchor = target;
    patch(element, content);
    element.hidden = false;
    anchor.setAttribute('aria-describedby', element.id);
    place(element, target.getBoundingClientRect());
  };
  const explained = (event) => event.target.closest?.('[data-explain]');

  document.addEventListener('pointerover', (event) => {
    if (event.pointerType === 'touch') return;
    if (element.contains(event.target)) return clearTimeout(timer);
    const target = explained(event);
    if (target === anchor && target) return clearTimeout(timer);
    if (target) return later(SHOW_AFTER_MS, () => show(target));
    return later(HIDE_AFTER_MS, hide);
  });
  document.addEventListener('focusin', (event) => {
    if (element.contains(event.target)) return;
    const target = explained(event);
    if (target?.matches(':focus-visible')) show(target);
    else hide();
  });
  document.addEventListener('click', (event) => {
    const target = event.target.closest?.('button.explain');
    if (!target) return;
    show(target);
    element.querySelector('a')?.focus();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || element.hidden) return;
    // Only the tooltip closes; what else Escape ends is for the next press.
    event.stopImmediatePropagation();
    const back = element.contains(document.activeElement) ? anchor : null;
    hide();
    back?.focus();
    if (back) hide();
  }, true);
  document.addEventListener('scroll', hide, { passive: true });
}

/** Below the element if there is room, else above it; always inside the window. */
function place(element, rect) {
  const margin = 8;
  const { offsetWidth: width, offsetHeight: height } = element;
  const left = Math.min(Math.max(margin, rect.left), window.innerWidth - width - margin);
  const below = rect.bottom + margin;
  const above = Math.max(margin, rect.top - height - margin);
  const top = below + height < window.innerHeight ? below : above;
  element.style.left = `${Math.max(margin, left)}px`;
  element.style.top = `${top}px`;
}
