/**
 * Friends: requests as they arrive, who is online, and a search for new ones.
 */

import { h, keyed, say } from '../dom.js';
import { clock, t } from '../i18n.js';
import { toMs } from '../solgik-client.js';
import { query } from '../api.js';
import { confirm, dialog } from '../form.js';
import { sentence } from '../sentences.js';
import { avatar, card, empty, heading, icon, personName, presence, stateTag } from './parts.js';
import { glance, path, toToday } from './study.js';

export function friends(app, page) {
  const asked = new Set(); // ids of those whom we asked and who have not answered
  let found = null;
  let keyword = '';
  let turn = 0;

  const requestList = h('ul', { class: 'people' });
  const friendList = h('ul', { class: 'people' });
  const foundList = h('ul', { class: 'people' });
  const noFriends = empty(t('friends.none'));
  const foundStatus = h('div', { role: 'status' });
  const requestCard = card(t('friends.requests'), requestList);

  function draw() {
    const picture = app.client.picture;
    requestCard.hidden = picture.requests.length === 0;
    keyed(requestList, picture.requests, { key: ({ user }) => user.id, create: (request) => requestRow(app, request) });

    const sorted = [...picture.friends].sort(
      (a, b) => b.online - a.online || app.people.name(a.id).localeCompare(app.people.name(b.id)),
    );
    noFriends.hidden = sorted.length > 0 || !picture.user;
    keyed(friendList, sorted, {
      key: ({ id }) => `${id} ${app.people.name(id)}`, // a name learned late redraws the row
      create: (friend) => friendRow(app, friend),
    });

    keyed(foundList, found ?? [], { create: (row) => foundRow(app, row, asked, draw) });
    const nobody = found?.length === 0 ? t('friends.noneFound', { keyword }) : '';
    say(foundStatus, nobody);
  }

  async function find(event) {
    event.preventDefault();
    keyword = search.value.trim();
    if (!keyword) return;
    const mine = ++turn;
    try {
      const rows = await app.api.get(`/accounts/${query({ kw: keyword })}`);
      if (mine !== turn || page.left) return;
      found = rows;
      app.people.learn(rows);
      draw();
    } catch (error) {
      if (mine === turn) say(foundStatus, sentence(error));
    }
  }

  async function loadAsked() {
    try {
      const sent = await app.api.get('/accounts/friend/request/send/');
      asked.clear();
      sent.forEach(({ receiver }) => asked.add(receiver.id));
      if (!page.left) draw();
    } catch {
      // Only the wording of a button depends on it.
    }
  }

  page.on('picture', draw);
  page.on('friend.accepted', ({ d }) => asked.delete(d.friend.id));
  page.on('friend.rejected', ({ d }) => {
    asked.delete(d.user);
    draw();
  });
  page.onLeave(app.people.onLearn(draw));
  loadAsked();

  const search = h('input', { id: 'people-search', type: 'search', placeholder: t('friends.search'), maxlength: 100 });
  draw();
  return h(
    'div',
    { class: 'page narrow' },
    heading(t('friends.title')),
    requestCard,
    card(t('friends.list'), noFriends, friendList),
    card(
      t('friends.find'),
      h(
        'form',
        { class: 'search', role: 'search', onsubmit: find },
        h('label', { class: 'sr-only', for: 'people-search' }, t('friends.search')),
        icon('search'),
        search,
        h('button', { type: 'submit', class: 'quiet' }, t('rooms.find')),
      ),
      foundStatus,
      foundList,
    ),
  );
}

function requestRow(app, { user, at }) {
  const name = user.name ?? app.people.name(user.id);
  const when = toMs(at);
  return {
    element: person(
      { id: user.id, name },
      when && h('span', { class: 'muted' }, clock(when)),
      action(app, name, 'friends.accept', 'primary', () => app.client.call('friend.accept', { user: user.id })),
      action(app, name, 'friends.reject', 'quiet', () => app.client.call('friend.reject', { user: user.id })),
    ),
  };
}

function friendRow(app, friend) {
  const name = app.people.name(friend.id);
  const here = presence({ online: t('friends.online'), offline: t('friends.offline') });
  const state = stateTag();
  const element = person(
    { id: friend.id, name },
    h('span', { class: 'whereabouts' }, here.element, state.element),
    action(app, name, 'friends.record', 'quiet', () => record(app, friend.id, name)),
    action(app, name, 'friends.remove', 'quiet', async () => {
      const sure = await confirm({ title: t('friends.removeTitle', { name }), action: t('friends.remove'), danger: true });
      if (sure) await app.client.call('friend.remove', { user: friend.id });
    }),
  );
  return {
    element,
    update(row) {
      here.update(row.online);
      state.update(row.current_state);
      state.element.hidden = !row.online || row.current_state === 1;
    },
  };
}

/** What a friend's days come to, if the friend lets us see it. */
async function record(app, id, name) {
  const told = await app.api.get(path(id)).catch((error) => {
    if (error.status !== 403) throw error;
  });
  if (!told) return app.notify(t('friends.recordKept', { name }));
  const { figures, calendar } = glance(told, 'study.friendSummary', name);
  const shown = h('div', { class: 'stack' }, figures, ...calendar);
  const closed = dialog(t('friends.recordOf', { name }), (close) => {
    shown.append(h('div', { class: 'actions' }, h('button', { type: 'button', class: 'quiet', onclick: () => close() }, t('app.close'))));
    return shown;
  });
  toToday(shown);
  await closed;
}

/** Somebody who was found: what can be done depends on what is between us now. */
function foundRow(app, row, asked, draw) {
  const slot = h('span', { class: 'slot' });
  const element = person(row, row.email && h('span', { class: 'muted' }, row.email), slot);
  let shown;
  const relation = ({ user, friends: mine, requests }) => {
    if (row.id === user?.id) return 'self';
    if (mine.some(({ id }) => id === row.id)) return 'already';
    if (requests.some((request) => request.user.id === row.id)) return 'accept';
    return asked.has(row.id) ? 'cancel' : 'ask';
  };
  const change = (op, after) => async () => {
    await app.client.call(op, { user: row.id });
    after();
    draw();
  };
  const offers = {
    self: () => h('span', { class: 'muted' }, t('friends.self')),
    already: () => h('span', { class: 'muted' }, t('friends.already')),
    accept: () => action(app, row.name, 'friends.accept', 'primary', change('friend.accept', () => {})),
    cancel: () => action(app, row.name, 'friends.cancel', 'quiet', change('friend.cancel', () => asked.delete(row.id))),
    ask: () =>
      action(app, row.name, 'friends.ask', 'primary', change('friend.request', () => {
        asked.add(row.id);
        app.notify(t('friends.asked'));
      })),
  };
  return {
    element,
    update() {
      const now = relation(app.client.picture);
      if (now === shown) return;
      const focused = slot.contains(document.activeElement);
      shown = now;
      slot.replaceChildren(offers[now]());
      if (focused) slot.querySelector('button')?.focus();
    },
  };
}

function person({ id, name }, ...beside) {
  return h(
    'li',
    { class: 'person' },
    avatar({ id, name }),
    h('div', { class: 'person-name' }, personName(name), beside[0]),
    h('span', { class: 'person-actions' }, ...beside.slice(1)),
  );
}

function action(app, name, key, style, act) {
  const button = h(
    'button',
    {
      type: 'button',
      class: style,
      'aria-label': t('friends.labelled', { name, action: t(key) }),
      onclick: async () => {
        if (button.ariaDisabled) return;
        button.ariaDisabled = 'true'; // `disabled` would lose the focus that a dialog gives back
        await act().catch(app.fail);
        button.ariaDisabled = null;
      },
    },
    t(key),
  );
  return button;
}
