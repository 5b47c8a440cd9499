/**
 * Morning or night: as the device has it, or as somebody chose here. The style sheet does the rest
 * by `color-scheme`.
 */

const KEY = 'solgik.theme';

export const THEMES = ['device', 'light', 'dark'];

export const theme = {
  get chosen() {
    const kept = localStorage.getItem(KEY);
    return THEMES.includes(kept) ? kept : 'device';
  },
  set chosen(value) {
    if (value === 'device') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
    apply();
  },
};

function apply() {
  const { chosen } = theme;
  document.documentElement.dataset.theme = chosen;
  // The bar of the browser around the page follows the device by itself.
  for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
    const { scheme } = meta.dataset;
    meta.media = chosen === 'device' ? `(prefers-color-scheme: ${scheme})` : chosen === scheme ? 'all' : 'not all';
  }
}

addEventListener('storage', ({ key }) => key === KEY && apply());
apply();
