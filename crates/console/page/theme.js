/** Light or dark: as the system has it, until the reader chooses. */

const KEY = 'toystore-theme';
const dark = window.matchMedia('(prefers-color-scheme: dark)');

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {HTMLButtonElement} button */
export function startTheme(button) {
  let chosen = stored();
  const show = () => {
    const now = chosen ?? (dark.matches ? 'dark' : 'light');
    document.documentElement.dataset.theme = now;
    button.textContent = now === 'dark' ? 'Light' : 'Dark';
    button.setAttribute('aria-label', now === 'dark' ? 'Light colours' : 'Dark colours');
  };
  button.addEventListener('click', () => {
    chosen = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // Private windows may forbid it; the choice then lasts until the page is closed.
    }
    show();
  });
  dark.addEventListener('change', show);
  show();
}
