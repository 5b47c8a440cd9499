/**
 * The frame around the views: brand, menu, connection indicator, banner, toasts, and the live
 * region through which a screen reader hears of comings and goings.
 */

import { h, say } from './dom.js';
import { language, t } from './i18n.js';
import { icon } from './views/parts.js';

const NAV_ICONS = {
  rooms: 'door',
  room: 'chair',
  friends: 'people',
  ranking: 'podium',
  study: 'chart',
  time: 'clock',
  settings: 'gear',
};
const MARK = new URL('favicon.svg', import.meta.url).href;
const LIBRARY = new URL('solgik-client.js', import.meta.url).href;
const TOAST_MS = 5_000;
const TOASTS = 3;
const SPOKEN = 5; // lines that the live region keeps

export function createFrame(root, { onLanguage }) {
  const main = h('main', { id: 'main', tabindex: '-1' });
  const toasts = h('ul', { class: 'toasts', 'aria-hidden': 'true' });
  const liveRegion = h('div', { class: 'sr-only', role: 'status', 'aria-live': 'polite' });
  const banner = h('div', { class: 'banner', role: 'alert', hidden: true });
  const menu = new Map();
  let link;
  let title = ''; // of the view
  let doing = ''; // what the tab says before it

  /** Make it anew: after signing in or out, or in another language. `bar` is seen in every view. */
  function build(inside, bar) {
    document.documentElement.lang = language();
    const other = language() === 'ko' ? 'en' : 'ko';
    link = h('p', { class: 'link', role: 'status' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), h('span'));
    menu.clear();
    for (const [name, drawn] of Object.entries(NAV_ICONS)) {
      const badge = h('span', { class: 'badge', 'aria-hidden': 'true', hidden: true });
      const anchor = h('a', { href: `#/${name}` }, icon(drawn), h('span', {}, t(`nav.${name}`)), badge);
      menu.set(name, { anchor, badge });
    }
    root.replaceChildren(
      h('a', { class: 'skip', href: '#main', onclick: skip }, t('app.skip')),
      h(
        'div',
        { class: 'head' },
        h(
          'header',
          { class: 'top' },
          h(
            'a',
            { class: 'brand', href: inside ? '#/rooms' : '#/signin' },
            h('img', { src: MARK, alt: '', width: 28, height: 28 }),
            'Solgik',
          ),
          inside && h('nav', { 'aria-label': t('app.nav') }, [...menu.values()].map(({ anchor }) => anchor)),
          h(
            'div',
            { class: 'top-side' },
            inside && link,
            h('button', { type: 'button', class: 'plain', lang: other, onclick: () => onLanguage(other) }, t('app.otherLanguage')),
          ),
        ),
        ...(bar ? [bar] : []),
        banner,
      ),
      main,
      footer(),
      toasts,
      liveRegion,
    );
  }

  /** The address after `#` is the router's, so the skip link moves the focus only. */
  function skip(event) {
    event.preventDefault();
    main.focus();
  }

  const entitle = () => (document.title = [doing, title, 'Solgik'].filter(Boolean).join(' · '));

  function announce(text) {
    liveRegion.append(h('p', {}, text));
    while (liveRegion.childElementCount > SPOKEN) liveRegion.firstElementChild.remove();
  }

  return {
    build,
    announce,

    /** Say it: on the screen for a while, and to the screen reader once. */
    notify(text, mood = '') {
      if (!text) return;
      announce(text);
      const toast = h('li', { class: mood }, text);
      toasts.append(toast);
      while (toasts.childElementCount > TOASTS) toasts.firstElementChild.remove();
      setTimeout(() => toast.remove(), TOAST_MS);
    },

    showView(name, element) {
      main.replaceChildren(element);
      for (const [key, { anchor }] of menu) {
        if (key === name) anchor.setAttribute('aria-current', 'page');
        else anchor.removeAttribute('aria-current');
      }
      const heading = main.querySelector('h1');
      title = heading.textContent;
      entitle();
      scrollTo(0, 0);
      heading.focus({ preventScroll: true });
    },

    /** What one is doing, for those who see no more than the tab. */
    showDoing(text) {
      if (text === doing) return;
      doing = text;
      entitle();
    },

    showLink(status) {
      const shown = status === 'idle' ? 'connecting' : status;
      link.className = `link ${shown}`;
      link.title = t(`link.${shown}`);
      say(link.lastChild, t(`link.${shown}`));
    },

    showPicture({ requests, room }) {
      const { anchor, badge } = menu.get('friends');
      say(badge, String(requests.length));
      badge.hidden = requests.length === 0;
      if (badge.hidden) anchor.removeAttribute('aria-label');
      else anchor.setAttribute('aria-label', t('nav.waiting', { label: t('nav.friends'), n: requests.length }));
      menu.get('room').anchor.classList.toggle('seated', Boolean(room));
    },

    showBanner(text, action, act) {
      banner.replaceChildren(h('p', {}, text), h('button', { type: 'button', class: 'primary', onclick: act }, action));
      banner.hidden = false;
    },

    hideBanner() {
      banner.hidden = true;
    },
  };
}

/** For those who build upon it. */
function footer() {
  return h(
    'footer',
    { class: 'foot' },
    h('p', {}, t('foot.lead')),
    h('a', { href: '/docs/' }, t('foot.docs')),
    h('a', { href: LIBRARY }, t('foot.library')),
  );
}
