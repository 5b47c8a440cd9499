/**
 * The small pieces that several views share: icons, avatars, presence dots, state tags.
 */

import { h, svg, say } from '../dom.js';
import { t } from '../i18n.js';

const ICONS = {
  lamp: ['M5 20h9', 'M9.5 20v-5', 'M9.5 15 6 9.5l6.5-5', 'M10.8 6.6 15 3.8l4.6 6.8-6.6 1.2z', 'M17 12.5a2 2 0 0 1-2.6.6'],
  cup: ['M5 9h11v5a5 5 0 0 1-5 5h-1a5 5 0 0 1-5-5z', 'M16 10h1.5a2.5 2.5 0 0 1 0 5H16', 'M9 3v2.5', 'M12.5 3v2.5'],
  pause: ['M9 6v12', 'M15 6v12'],
  idle: ['M6 12h12'],
  lock: ['M6.5 11h11v8.5h-11z', 'M9 11V8a3 3 0 0 1 6 0v3'],
  search: ['M10.5 4.5a6 6 0 1 1 0 12 6 6 0 0 1 0-12z', 'm15 15 4.5 4.5'],
  door: ['M5 20h14', 'M7 20V4h10v16', 'M13.6 12h.2'],
  chair: ['M7.5 4v9h9V4', 'M7.5 13 6 20', 'M16.5 13 18 20', 'M7 16.5h10'],
  people: ['M9 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6z', 'M3.5 19c0-3.2 2.4-5.2 5.5-5.2s5.5 2 5.5 5.2', 'M15.5 5.4a3 3 0 0 1 0 5.2', 'M17 14.2c2.1.6 3.5 2.3 3.5 4.8'],
  clock: ['M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16z', 'M12 8v4.3l2.8 1.7'],
  gear: ['M4 7.5h9', 'M17 7.5h3', 'M4 16.5h3', 'M11 16.5h9', 'M15 5.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4z', 'M9 14.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4z'],
  podium: ['M4 20v-6h5v6', 'M9.5 20V6h5v14', 'M15 20v-9h5v9'],
  chart: ['M4.5 5h4v4h-4z', 'M4.5 15h4v4h-4z', 'M10 15h4v4h-4z', 'M10 5h4v4h-4z', 'M15.5 10h4v4h-4z', 'M15.5 15h4v4h-4z'],
  play: ['M8 5.5v13l10.5-6.5z'],
  stop: ['M7 7h10v10H7z'],
  bell: ['M6 16.5c1-1.2 1.5-2.6 1.5-6a4.5 4.5 0 0 1 9 0c0 3.4.5 4.8 1.5 6z', 'M10.3 19.3a2 2 0 0 0 3.4 0'],
  plus: ['M12 5v14', 'M5 12h14'],
};

const STATE_ICONS = { 1: 'idle', 2: 'lamp', 3: 'cup', 4: 'pause' };

/** A line icon. Decorative unless it is given a label. */
export function icon(name, label) {
  const role = label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' };
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', ...role }, ICONS[name].map((d) => svg('path', { d })));
}

/** The first letter of a name in one of eight calm colours. */
export function avatar({ id, name }) {
  const initial = [...(name ?? '')][0]?.toUpperCase() ?? '·';
  return h('span', { class: `avatar hue-${id % 8}`, 'aria-hidden': 'true' }, initial);
}

/** A name as its owner wrote it, whatever its direction. */
export function personName(name) {
  return h('bdi', { class: 'name' }, name ?? '');
}

/** Online or not: a dot for the eye and a word for the ear. */
export function presence(words) {
  const text = h('span');
  const element = h('span', { class: 'presence' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), text);
  return {
    element,
    update(online, suffix = '') {
      element.classList.toggle('on', online);
      say(text, (online ? words.online : words.offline) + suffix);
    },
  };
}

/** What somebody is doing: 1 idle, 2 studying, 3 break, 4 paused. */
export function stateTag() {
  const element = h('span', { class: 'state' });
  let shown;
  return {
    element,
    update(state) {
      const known = STATE_ICONS[state] ? state : 1;
      if (known === shown) return;
      shown = known;
      element.className = `state state-${known}`;
      element.replaceChildren(icon(STATE_ICONS[known]), t(`state.${known}`));
    },
  };
}

const ROUND = 2 * Math.PI * 20;

/** A phase as a ring that empties: it says nothing, so words have to stand beside it. */
export function ring(...inside) {
  const arc = svg('circle', { class: 'ring-arc', cx: 22, cy: 22, r: 20 });
  const track = svg('circle', { class: 'ring-track', cx: 22, cy: 22, r: 20 });
  const face = svg('svg', { viewBox: '0 0 44 44', 'aria-hidden': 'true' }, track, arc);
  const element = h('span', { class: 'ring' }, face, inside);
  return {
    element,
    /** @param {?import('../timeline.js').Standing} now */
    update(now) {
      const state = now && !now.done ? now.state : 1;
      const share = now?.length ? now.left / now.length : 1;
      element.className = `ring ring-${state}`;
      arc.setAttribute('stroke-dasharray', `${(state === 1 ? 0 : share * ROUND).toFixed(2)} ${ROUND.toFixed(2)}`);
    },
  };
}

/** A choice of few, of which one is pressed. */
export function segmented(label, options, chosen, onchoose) {
  const buttons = options.map(({ value, text, lang }) =>
    h(
      'button',
      {
        type: 'button',
        lang,
        'aria-pressed': String(value === chosen),
        onclick: ({ currentTarget }) => {
          buttons.forEach((button) => button.setAttribute('aria-pressed', String(button === currentTarget)));
          onchoose(value);
        },
      },
      text,
    ),
  );
  return h('div', { class: 'segmented', role: 'group', 'aria-label': label }, buttons);
}

/** Something that is on or off, and is so at once; goes back where it was refused. */
export function toggle(label, hint, isOn, change, fail) {
  const box = h('input', {
    type: 'checkbox',
    role: 'switch',
    checked: isOn,
    onchange: async () => {
      box.disabled = true;
      await change(box.checked).catch((error) => {
        box.checked = !box.checked;
        fail(error);
      });
      box.disabled = false;
    },
  });
  return h('label', { class: 'toggle' }, h('span', {}, label, h('span', { class: 'hint' }, hint)), box);
}

/** A view's title; the router moves the focus here. */
export function heading(text, ...beside) {
  return h('header', { class: 'page-head' }, h('div', {}, h('h1', { tabindex: '-1' }, text), beside[0]), ...beside.slice(1));
}

/** A titled part of a page. */
export function card(title, ...content) {
  return h('section', { class: 'card' }, h('h2', {}, title), ...content);
}

/** What is shown where there is nothing. */
export function empty(text, ...more) {
  return h('div', { class: 'empty' }, h('p', {}, text), ...more);
}
