/**
 * The corridor: every room with a light for each person who is there, counted live through
 * `room.watch`; search, enter, create.
 */

import { h, keyed, say } from '../dom.js';
import { t } from '../i18n.js';
import { query } from '../api.js';
import { cancel, confirm, dialog, form } from '../form.js';
import { sentence } from '../sentences.js';
import { empty, heading, icon } from './parts.js';

const PAGE_SIZE = 12;
const LOOK_AGAIN_MS = 20_000; // for rooms that were made since
const WINDOWS = 12; // lights drawn for one room; the words beside them tell the rest

export function rooms(app, page) {
  let rows = [];
  let total = 0;
  let keyword = '';
  let pages = 0;
  let asked = 0;

  const list = h('ul', { class: 'rooms' });
  const status = h('div', { class: 'status', role: 'status' }, t('app.loading'));
  const more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => load(pages + 1) }, t('app.more'));

  async function load(number, isQuiet = false) {
    const turn = ++asked; // only the last question's answer counts
    try {
      const answer = await app.api.list(`/rooms/${query({ _page: number, _limit: PAGE_SIZE, keyword })}`);
      if (turn !== asked || page.left) return;
      const before = number === 1 ? [] : rows;
      rows = [...before, ...answer.rows.filter(({ id }) => !before.some((row) => row.id === id))];
      total = answer.total;
      pages = number;
      draw();
      watch();
    } catch (error) {
      if (turn !== asked || page.left || isQuiet) return;
      const again = h('button', { type: 'button', class: 'quiet', onclick: () => load(number) }, t('app.retry'));
      status.replaceChildren(empty(sentence(error), again));
    }
  }

  let watched = '';
  function watch() {
    const ids = rows.map(({ id }) => id);
    if (String(ids) === watched) return;
    watched = String(ids);
    app.client.watch(ids);
  }

  function draw() {
    const seat = app.client.picture.room?.id;
    const others = rows.filter(({ id }) => id !== seat);
    keyed(list, [...rows.filter(({ id }) => id === seat), ...others], { create: (room) => roomCard(app, room) });
    more.hidden = pages * PAGE_SIZE >= total;
    const nothing = keyword ? t('rooms.noneFound', { keyword }) : t('rooms.none');
    status.replaceChildren(...(rows.length ? [] : [empty(nothing)]));
  }

  page.on('room.counts', ({ d }) => {
    for (const told of d.rooms ?? [d].flat()) {
      const id = told.id ?? told.room;
      if (told.closed || told.member_num === 0) rows = rows.filter((row) => row.id !== id);
      else rows = rows.map((row) => (row.id === id ? { ...row, ...told, id } : row));
    }
    draw();
  });
  let seat = app.client.picture.room?.id;
  page.on('picture', ({ room }) => {
    if (room?.id !== seat) draw();
    seat = room?.id;
  });
  const lookAgain = setInterval(() => !document.hidden && pages === 1 && load(1, true), LOOK_AGAIN_MS);
  page.onLeave(() => {
    clearInterval(lookAgain);
    app.client.watch([]);
  });
  load(1);

  const search = h('input', { id: 'room-search', type: 'search', placeholder: t('rooms.search'), maxlength: 100 });
  return h(
    'div',
    { class: 'page' },
    heading(
      t('rooms.title'),
      h('p', { class: 'muted' }, t('rooms.lead')),
      h('button', { type: 'button', class: 'primary', onclick: () => create(app) }, icon('plus'), t('rooms.create')),
    ),
    h(
      'form',
      {
        class: 'search',
        role: 'search',
        onsubmit: (event) => {
          event.preventDefault();
          keyword = search.value.trim();
          load(1);
        },
      },
      h('label', { class: 'sr-only', for: 'room-search' }, t('rooms.search')),
      icon('search'),
      search,
      h('button', { type: 'submit', class: 'quiet' }, t('rooms.find')),
    ),
    h('div', {}, status, list),
    h('div', { class: 'centred' }, more),
  );
}

function roomCard(app, first) {
  let room = first;
  const name = h('h2', {}, h('bdi'));
  const lock = h('span', { class: 'lock' }, icon('lock', t('rooms.locked')));
  const description = h('p', { class: 'muted clamp' });
  const windows = h('span', { class: 'windows', 'aria-hidden': 'true' });
  const members = h('span');
  const online = h('span');
  const button = h('button', { type: 'button', onclick: () => enter(app, room) });
  const element = h(
    'li',
    { class: 'card room-card' },
    h('div', { class: 'room-title' }, name, lock),
    description,
    windows,
    h('div', { class: 'room-foot' }, h('p', { class: 'counts' }, members, online), button),
  );

  return {
    element,
    update(row) {
      room = row;
      const mine = app.client.picture.room?.id === row.id;
      say(name.firstChild, row.name);
      lock.toggleAttribute('hidden', !row.has_password);
      say(description, row.description ?? '');
      description.toggleAttribute('hidden', !row.description);
      say(members, t('rooms.members', { n: row.member_num ?? 0 }));
      say(online, t('rooms.online', { n: row.online_num ?? 0 }));
      light(windows, row.member_num ?? 0, row.online_num ?? 0);
      say(button, mine ? t('rooms.return') : t('rooms.enter'));
      button.className = mine ? 'primary' : 'quiet';
      button.setAttribute('aria-label', mine ? t('rooms.return') : t('rooms.enterLabel', { room: row.name }));
      element.classList.toggle('lit', row.online_num > 0);
      element.classList.toggle('mine', mine);
    },
  };
}

/** A window for each seat taken, lit where somebody is there. */
function light(windows, seated, online) {
  const shown = Math.min(Math.max(seated, online), WINDOWS);
  while (windows.childElementCount > shown) windows.lastElementChild.remove();
  while (windows.childElementCount < shown) windows.append(h('i'));
  [...windows.children].forEach((one, index) => one.classList.toggle('on', index < online));
}

async function enter(app, room) {
  const here = app.client.picture.room;
  if (here?.id === room.id) return app.navigate('#/room');
  if (here && !(await agreeToMove(here, room))) return;

  const go = async (password) => {
    const take = () => app.client.call('room.enter', { room: room.id, ...(password && { password }) });
    // A wrong password is found out first: it must not cost the seat that one has.
    await take().catch(async (error) => {
      if (error.code !== 'already_in_room') throw error;
      await app.client.call('room.leave');
      await take();
    });
    await app.seated(room.id);
    app.navigate('#/room');
  };
  if (!room.has_password) return go().catch(app.fail);

  dialog(t('rooms.passwordTitle', { room: room.name }), (close) =>
    form({
      fields: [{ name: 'password', label: t('field.password'), type: 'password', autocomplete: 'off' }],
      submit: t('rooms.enter'),
      extra: [cancel(close)],
      onsubmit: async ({ password }) => {
        await go(password).catch((error) => {
          if (error.code === 'wrong_password') error.errors = [{ field: 'password', detail: error.message }];
          throw error;
        });
        close();
      },
    }),
  );
}

const agreeToMove = (from, to) =>
  confirm({
    title: t('rooms.moveTitle'),
    body: t('rooms.moveBody', { from: from.name, to: to.name }),
    action: t('rooms.move'),
  });

async function create(app) {
  const here = app.client.picture.room;
  dialog(t('rooms.create'), (close) =>
    form({
      fields: [
        { name: 'name', label: t('rooms.name'), maxlength: 100, autocomplete: 'off' },
        {
          name: 'description',
          label: t('rooms.description'),
          hint: t('rooms.descriptionHint'),
          maxlength: 300,
          required: false,
          autocomplete: 'off',
        },
        {
          name: 'password',
          label: t('field.password'),
          type: 'password',
          hint: t('rooms.passwordHint'),
          required: false,
          autocomplete: 'new-password',
        },
      ],
      submit: t('rooms.create'),
      extra: [cancel(close)],
      onsubmit: async (values) => {
        if (here && app.client.picture.room) {
          if (!(await agreeToMove(here, values))) return;
          await app.client.call('room.leave');
        }
        const room = await app.api.post('/rooms/', values);
        await app.seated(room.id);
        close();
        app.navigate('#/room');
      },
    }),
  );
}
