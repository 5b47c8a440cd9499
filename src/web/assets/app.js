/**
 * The embedded web client: holds the session, the socket and the frame together, and shows one
 * view at a time for the address after `#`.
 */

import { createApi } from './api.js';
import { ring } from './bell.js';
import { createFrame } from './frame.js';
import { language, setLanguage, t } from './i18n.js';
import { createPeople } from './people.js';
import { sentence } from './sentences.js';
import { openSession } from './session.js';
import { SolgikClient } from './solgik-client.js';
import './theme.js';
import { createTimer } from './timer.js';
import { forgot, reset, signin, signup } from './views/auth.js';
import { friends } from './views/friends.js';
import { ranking } from './views/ranking.js';
import { room } from './views/room.js';
import { rooms } from './views/rooms.js';
import { settings } from './views/settings.js';
import { study } from './views/study.js';
import { time } from './views/time.js';
import { doing, timerBar } from './views/timer.js';

const OUTSIDE = { signin, signup, forgot, reset };
const INSIDE = { rooms, room, friends, ranking, study, time, settings };
const DIARY = 100; // entries of the room's diary that are kept
const SEATED_MS = 4_000;
const REFRESH_CHECK_MS = 60_000;

const session = openSession();
const people = createPeople();
const api = createApi({ token: () => session.token, language, onUnauthorized: () => endSession(t('ended.signin')) });
const frame = createFrame(document.getElementById('app'), { onLanguage: speak });

let client = null;
let timer = null;
let bar = null; // the timer as it is seen in every view
let page = null; // the view that is shown: its subscriptions, and whether it was left
let plan = null;
let diary = []; // what was said in the room since we sat down
let resetParams = {}; // of a mailed link; taken out of the address at once

/** What a view may use of the whole. */
const app = {
  api,
  session,
  people,
  language,
  endSession,
  navigate,
  setLanguage: speak,
  notify: frame.notify,
  fail: (error) => frame.notify(sentence(error), 'bad'),
  get client() {
    return client;
  },
  get timer() {
    return timer;
  },
  get diary() {
    return diary;
  },
  /** The time setting as it was last heard of; null where there is none. */
  get plan() {
    return plan;
  },
  async profile() {
    const told = await api.get(`/accounts/${app.userId}/`);
    plan = told.time_setting;
    return told;
  },
  get userId() {
    return session.user?.pk ?? client?.picture.user?.id;
  },
  signIn(answer) {
    session.keep(answer);
    enterHouse();
    navigate('#/rooms');
  },
  async signOut() {
    client?.close(); // first, so that the server's goodbye is not taken for an accident
    await api.post('/rest-auth/logout/').catch(() => {});
    endSession();
  },
  /** Resolves when the picture shows us in this room (or after a while: the view then waits). */
  seated(id) {
    return new Promise((resolve) => {
      const done = () => {
        off();
        clearTimeout(timer);
        resolve();
      };
      const arrived = () => client.picture.room?.id === id && done();
      const off = client.on('picture', arrived);
      const timer = setTimeout(done, SEATED_MS);
      arrived();
    });
  },
};

// ── one view at a time ───────────────────────────────────────────────────────────────────────

function navigate(hash) {
  if (location.hash === hash) show();
  else location.hash = hash; // and `hashchange` shows it
}

function show() {
  page?.leave();
  document.querySelectorAll('dialog').forEach((open) => open.close());
  const name = route();
  page = openPage();
  frame.showView(name, { ...OUTSIDE, ...INSIDE }[name](app, page));
}

/** The view that the address asks for, if it may be seen. */
function route() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  if (path === 'reset') {
    if (search) resetParams = Object.fromEntries(new URLSearchParams(search));
    history.replaceState(null, '', '#reset');
    return 'reset';
  }
  const views = session.token ? INSIDE : OUTSIDE;
  return Object.hasOwn(views, path) ? path : Object.keys(views)[0];
}

function openPage() {
  const ends = [];
  return {
    params: resetParams,
    left: false,
    on: (name, listener) => ends.push(client.on(name, listener)),
    onLeave: (end) => ends.push(end),
    onDiary(listener) {
      this.diaryChanged = listener;
    },
    leave() {
      this.left = true;
      ends.forEach((end) => end());
    },
  };
}

function speak(code) {
  setLanguage(code);
  if (client) client.locale = code;
  build();
  show();
}

function build() {
  bar?.close();
  bar = client && timerBar(app);
  frame.build(Boolean(client), bar?.element);
  if (!client) return;
  frame.showLink(client.status);
  frame.showPicture(client.picture);
}

// ── signed in ────────────────────────────────────────────────────────────────────────────────

function enterHouse() {
  client = new SolgikClient({
    url: new URL('/ws', location.href).href.replace(/^http/, 'ws'),
    token: freshToken,
    locale: language(),
  });
  client.on('status', (status) => {
    frame.showLink(status);
    if (status === 'open') frame.hideBanner();
  });
  client.on('picture', remember);
  client.on('room.entered', ({ d, at }) => note('room.entered', d.member.id, at));
  client.on('room.exited', ({ d, at }) => note('room.exited', d.user, at));
  client.on('room.closed', () => frame.notify(t('room.closed')));
  client.on('room.cheer', cheered);
  client.on('friend.requested', () => {
    const { user } = client.picture.requests.at(-1);
    frame.notify(t('friends.requested', { name: people.name(user.id) }));
  });
  client.on('friend.accepted', ({ d: { friend } }) =>
    frame.notify(t('friends.accepted', { name: friend.name ?? people.name(friend.id) })),
  );
  client.on('ended', ended);
  timer = createTimer(client, rang);
  timer.onTick(() => frame.showDoing(doing(timer.standing())));
  build();
  client.connect();
  app.profile().catch(() => {}); // only spares typing; whoever needs it asks again
}

function leaveHouse() {
  page?.leave();
  page = null;
  timer?.close();
  client?.close();
  timer = client = plan = null;
  diary = [];
  frame.hideBanner();
  frame.showDoing('');
  build();
}

/** A boundary of one's own timer: read out, seen for a while, and heard. */
function rang(rung) {
  const text = t(`timer.rang.${rung.phase}`);
  frame.notify(text);
  ring(rung, text);
}

/** The session is over; the reason, if there is one, is said at the door. */
function endSession(reason) {
  if (!session.token) return;
  session.clear();
  leaveHouse();
  navigate('#/signin');
  frame.notify(reason);
}

function ended({ code }) {
  if (code === 4500 || code === 4503) return endSession(t('ended.signin'));
  if (code === 4505) return endSession(t('ended.deleted'));
  if (code === 4504) return frame.showBanner(t('ended.replaced'), t('ended.resume'), () => client.connect());
  frame.showBanner(t('ended.version'), t('ended.reload'), () => location.reload());
}

// ── who is who, and what happened ────────────────────────────────────────────────────────────

let seat = null; // the room of the diary
const sought = new Set(); // friends whose names were asked for

function remember(picture) {
  const { user, room: here, friends: mine, requests } = picture;
  people.learn([user, ...(here?.members ?? []), ...mine, ...requests.map((request) => request.user)]);
  const strangers = mine.filter(({ id }) => !people.knows(id) && !sought.has(id));
  if (strangers.length) learnFriends(strangers);
  if (here && here.id !== seat) diary = [];
  seat = here?.id ?? seat;
  frame.showPicture(picture);
}

/** `hello` tells of friends by id alone; their names come from the REST door. */
async function learnFriends(strangers) {
  strangers.forEach(({ id }) => sought.add(id));
  try {
    people.learn((await api.get('/accounts/friend/')).friends);
  } catch {
    sought.clear(); // the next picture asks again
  }
}

function note(event, user, at) {
  if (user === app.userId) return;
  const text = t(event, { name: people.name(user) });
  frame.notify(text);
  write({ kind: 'note', at, text });
}

function cheered({ d: { user, text }, at }) {
  const name = people.name(user);
  if (user !== app.userId) frame.announce(t('room.cheered', { name, text }));
  write({ kind: 'cheer', at, name, text });
}

let entries = 0;
function write(entry) {
  diary = [...diary, { ...entry, at: entry.at ?? client.now(), id: ++entries }].slice(-DIARY);
  page?.diaryChanged?.();
}

// ── the token's life ─────────────────────────────────────────────────────────────────────────

/** Asked before each connection, so that a laptop that slept does not knock with an old token. */
async function freshToken() {
  if (session.wantsRefresh) await refresh();
  return session.token;
}

async function refresh() {
  try {
    session.keep(await api.post('/rest-auth/token/refresh/'));
    return true;
  } catch {
    return false; // a dead token is refused by the server, which knows better than we could guess
  }
}

/** The socket that is open lives on under the renewed token. */
const tellToken = () => client?.call('refresh', { token: session.token }).catch(() => {});

setInterval(async () => {
  if (client?.status === 'open' && session.wantsRefresh && (await refresh())) tellToken();
}, REFRESH_CHECK_MS);

session.onElsewhere((current) => {
  if (!current && client) {
    leaveHouse();
    navigate('#/signin');
  } else if (current && !client) {
    enterHouse();
    navigate('#/rooms');
  } else if (current && client.picture.user && current.user?.pk !== client.picture.user.id) {
    location.reload(); // somebody else signed in
  } else if (client?.status === 'open') {
    tellToken();
  }
});

// ── begin ────────────────────────────────────────────────────────────────────────────────────

addEventListener('hashchange', show);
if (session.token) enterHouse();
else build();
show();
