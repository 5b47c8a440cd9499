/**
 * A small client for the Solgik socket protocol (`solgik.v1`), without dependencies: one file to
 * take along, for browsers, workers, Deno, Bun and Node 22 or newer.
 *
 * It keeps one WebSocket open and comes back by itself, with full jitter, or when the server said
 * to; it answers heartbeats as they arrive, outside any timer that a hidden tab would put off; it
 * maintains a *picture* of who is there. Each event is applied exactly once and in order: every
 * channel has a position {epoch, off}, and what was missed is fetched, never guessed.
 *
 *     import { SolgikClient } from './solgik-client.js';
 *
 *     const client = new SolgikClient({ url: 'wss://example.org/ws', token, locale: 'ko' });
 *     client.on('picture', (picture) => draw(picture));
 *     client.on('room.cheer', ({ d }) => console.log(d.user, d.text));
 *     client.on('ended', ({ code }) => signInAgain(code));
 *     client.on('hello', async () => {
 *       await client.call('room.enter', { room: 42 });
 *       await client.call('timer.start', { total_time: 240, work_time: 50, break_time: 10 });
 *     });
 *     client.connect();
 *
 * - **Draw from the picture alone.** It is replaced, never changed in place, so that `===` tells
 *   whether something is news. Where a run stands between two events is arithmetic over it and
 *   `client.now()`: see `standing` in timeline.js, which can be taken along as well.
 * - **`call` answers or throws a `SolgikError`**: the server's refusal by its `code`; `offline`, if
 *   nothing was sent; `disconnected` and `timeout`, if nobody knows whether it was done. Send
 *   `timer.*` with a `cmd` of your own, and it can be repeated without counting twice.
 * - **Tokens end.** Give `token` as a function and it is asked before each connection; tell a
 *   connection that is open about a later one with `refresh`.
 * - **`ended` is the end**: the server closed with 4500 or above, where returning is of no use
 *   (4500 not signed in, 4501 and 4506 another protocol, 4503 the session is over, 4504 another
 *   device took the place, 4505 the account is gone). `connect` begins again. Everything else is
 *   waited out: status `waiting`, then `connecting`, then `open`, with the same picture.
 *
 * @typedef {number|string|null} Instant
 *   Milliseconds since 1970 or RFC 3339: `toMs` reads both.
 * @typedef {{id: number, name: string, image: ?string, current_state: number, online: boolean,
 *            since: Instant, goal: any, run: ?Run}} Member
 * @typedef {{index: number, phase: 'work'|'break', at: Instant}} Boundary
 *   The beginning of a phase to come.
 * @typedef {{id: number, total_time: number, work_time: number, break_time: number,
 *            started_at: Instant, state: 'idle'|'studying'|'break'|'paused',
 *            phase: 'work'|'break'|null, index: ?number, elapsed_ms: number,
 *            paused_at: Instant, ends_at: Instant, completes_at: Instant, next: Boundary[],
 *            ended_at: Instant, server_time: Instant}} Run
 *   A started timer. Its plan is in minutes, 0 being an open end or one long phase; `elapsed_ms` is
 *   what had gone by, pauses not counted, when the server's clock showed `server_time`. From that
 *   and the clock alone everything else follows.
 * @typedef {{id: number, name: string, description: string, has_password: boolean,
 *            members: Member[]}} Room
 *   Between a resumed connection and its snapshot `members` may be missing for a moment.
 * @typedef {{id: number, online: boolean, current_state: number, name?: string}} Friend
 * @typedef {{user: {id: number, name?: string}, at: Instant}} FriendRequest
 * @typedef {{user: ?{id: number, current_state?: number}, run: ?Run, room: ?Room,
 *            friends: Friend[], requests: FriendRequest[]}} Picture
 *   `run` is one's own timer, null if none is open.
 * @typedef {{ev?: string, ch?: string, off?: number, eid?: string, at?: number, d?: any,
 *            id?: number, ok?: any, err?: Refusal}} Message
 * @typedef {{code: string, message?: string, retry_ms?: ?number}} Refusal
 * @typedef {'idle'|'connecting'|'open'|'waiting'|'ended'} Status
 * @typedef {{epoch: string, off: number}} Place
 * @typedef {ReturnType<typeof setTimeout>|undefined} Timer
 */

const PROTOCOL = 'solgik.v1';
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 30_000;
const STEADY_MS = 10_000; // a connection that lived this long starts the back-off afresh
const OPENING_MS = 10_000; // from dialling to hello
const ANSWER_MS = 15_000; // from a call to its answer
const QUIET_MS = 3_000; // a connection that was silent for this long is asked whether it lives …
const PROBE_MS = 4_000; // … and has so long to answer
const SYNC_MS = 5_000; // a sync that brought nothing may be asked again
const REMEMBERED_EIDS = 256;
const NOWHERE = Object.freeze({ epoch: '', off: 0 }); // a position that no server can honour

/** What `current_state` says. @readonly */
export const STATE = Object.freeze({ IDLE: 1, STUDYING: 2, BREAK: 3, PAUSED: 4 });

/** @type {Picture} */
export const EMPTY_PICTURE = Object.freeze({ user: null, run: null, room: null, friends: [], requests: [] });

/** A refusal by the server, or a call that could not be answered: programs read `code`. */
export class SolgikError extends Error {
  /**
   * @param {string} code
   * @param {string} [message]
   * @param {?number} [retryMs] after how long it may be asked again
   */
  constructor(code, message = code, retryMs = null) {
    super(message);
    this.name = 'SolgikError';
    this.code = code;
    this.retryMs = retryMs;
  }
}

/**
 * An instant as milliseconds, or null.
 * @param {Instant|undefined} instant
 * @returns {?number}
 */
export function toMs(instant) {
  const ms = typeof instant === 'string' ? Date.parse(instant) : instant;
  return ms !== null && ms !== undefined && Number.isFinite(ms) ? ms : null;
}

/**
 * Full jitter: anything between nothing and a ceiling that doubles with each attempt.
 * @param {number} attempt from 0
 * @param {() => number} [random]
 */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

export class SolgikClient {
  /** @type {Picture} */ picture = EMPTY_PICTURE;
  /** @type {Status} */ status = 'idle';
  /** Server clock minus ours, in milliseconds. */ offset = 0;

  /** @type {?WebSocket} */ #socket = null;
  /** Of the latest attempt to connect; what an earlier one brings no longer counts. */ #attempt = 0;
  /** @type {Map<string, Place>} by channel */ #positions = new Map();
  /** @type {Map<string, number>} when a channel's gap was asked for */ #syncing = new Map();
  /** @type {Set<string>} */ #eids = new Set();
  /** @type {Map<number, {op: string, resolve: (ok: any) => void, reject: (error: SolgikError) => void, timer: Timer}>} */
  #pending = new Map();
  /** @type {Map<string, Set<(...told: any[]) => void>>} */ #listeners = new Map();
  /** @type {number[]} */ #watched = [];
  #nextId = 1;
  #failures = 0;
  /** @type {Timer} */ #retryTimer;
  /** @type {Timer} */ #silenceTimer;
  #silenceMs = OPENING_MS;
  #heardAt = 0;
  #helloAt = 0;
  /** @type {?{code?: number, reason?: string, reconnect_ms?: number}} */ #bye = null;

  /**
   * @param {{url: string, token: string | (() => string | Promise<string>), locale?: string}} options
   *   `token` may be a function: it is asked before each connection.
   */
  constructor({ url, token, locale }) {
    this.url = url;
    this.token = token;
    this.locale = locale;
  }

  /** Connect now: the first time, again after `ended`, or without waiting for the back-off. */
  connect() {
    if (this.status === 'connecting' || this.status === 'open') return;
    globalThis.addEventListener?.('online', this.#hurry);
    globalThis.document?.addEventListener('visibilitychange', this.#hurry);
    this.#dial();
  }

  /** Leave for good. The picture stays as it was. */
  close() {
    globalThis.removeEventListener?.('online', this.#hurry);
    globalThis.document?.removeEventListener('visibilitychange', this.#hurry);
    this.#drop('closed');
    this.#setStatus('idle');
  }

  /**
   * Ask the server for something.
   * @param {string} op as the protocol names it: `room.enter`, `timer.start`, `friend.accept` …
   * @param {object} [d]
   * @returns {Promise<any>} its `ok`
   * @throws {SolgikError} its `err`; or `offline` (not sent), `disconnected` and `timeout` (unknown)
   */
  call(op, d = {}) {
    return this.#ask(op, d, ANSWER_MS);
  }

  /**
   * @param {string} op
   * @param {object} d
   * @param {number} patience
   * @returns {Promise<any>}
   */
  #ask(op, d, patience) {
    if (this.status !== 'open') return Promise.reject(new SolgikError('offline'));
    const id = this.#nextId++ >>> 0;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle({ id, err: { code: 'timeout' } }), patience);
      this.#pending.set(id, { op, resolve, reject, timer });
      this.#send({ id, op, d });
    });
  }

  /**
   * Watch the counts of these rooms (`room.counts` events), also after a reconnect; [] ends it.
   * @param {number[]} rooms
   */
  watch(rooms) {
    this.#watched = [...rooms];
    if (this.status === 'open') this.#askWatch();
  }

  /**
   * Use a later token of the same session, at once and, unless `token` is a function, for every
   * later connection.
   * @param {string} token
   */
  refresh(token) {
    if (typeof this.token !== 'function') this.token = token;
    return this.call('refresh', { token });
  }

  /**
   * Listen to `status` (a Status), `picture` (a Picture, and the Message that changed it), `event`
   * (any Message), `ended` ({code, reason}), `problem` (a SolgikError that belongs to no call), or
   * to one kind of event by its name, such as `room.entered`.
   * @param {string} name
   * @param {(...told: any[]) => void} listener
   * @returns {() => void} stop listening
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** The server's clock. */
  now() {
    return Date.now() + this.offset;
  }

  // ── the connection ────────────────────────────────────────────────────────────────────────

  async #dial() {
    clearTimeout(this.#retryTimer);
    this.#bye = null;
    this.#helloAt = 0;
    const attempt = ++this.#attempt;
    this.#setStatus('connecting');
    let token;
    try {
      token = typeof this.token === 'function' ? await this.token() : this.token;
    } catch {
      if (this.#attempt === attempt) this.#lost(1006, 'no token');
      return;
    }
    if (this.#attempt !== attempt) return;

    const socket = (this.#socket = new WebSocket(this.url, [PROTOCOL]));
    this.#silenceMs = OPENING_MS;
    this.#listenForSilence();
    // The first message, not a subprotocol, carries the token: only so can `since` go with it.
    socket.onopen = () => this.#send({ op: 'auth', d: { token, since: this.#since(), locale: this.locale } });
    socket.onmessage = ({ data }) => this.#frame(data);
    socket.onclose = ({ code, reason }) => {
      const isKnown = code !== 1005 && code !== 1006;
      this.#lost(isKnown ? code : this.#bye?.code ?? code, reason || this.#bye?.reason);
    };
  }

  /**
   * The connection is gone: come back, unless the server said that it would be of no use.
   * @param {number} code
   * @param {string} [reason]
   */
  #lost(code, reason = '') {
    if (this.#helloAt && Date.now() - this.#helloAt >= STEADY_MS) this.#failures = 0;
    const delay = this.#bye?.reconnect_ms ?? backoff(this.#failures++);
    this.#drop('disconnected');
    if (code >= 4500 && code <= 4999) {
      this.#setStatus('ended');
      this.#emit('ended', { code, reason });
      return;
    }
    this.#setStatus('waiting');
    this.#retryTimer = setTimeout(() => this.#dial(), delay);
  }

  /** @param {string} code what calls that were not answered are told */
  #drop(code) {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#syncing.clear();
    for (const id of [...this.#pending.keys()]) this.#settle({ id, err: { code } });
  }

  /** Another network, or somebody looks again: don't wait, and don't trust what has been silent. */
  #hurry = () => {
    if (globalThis.document?.hidden) return;
    if (this.status === 'waiting') this.#dial();
    if (this.status !== 'open' || Date.now() - this.#heardAt < QUIET_MS) return;
    const socket = this.#socket;
    this.#ask('whoami', {}, PROBE_MS).catch(({ code }) => {
      if (code === 'timeout' && this.#socket === socket) this.#lost(1006, 'silence');
    });
  };

  /** Timers sleep in background tabs, so the clock decides, not the timer. */
  #listenForSilence() {
    this.#heardAt = Date.now();
    const check = () => {
      const left = this.#heardAt + this.#silenceMs - Date.now();
      if (left <= 0) this.#lost(1006, 'silence');
      else this.#silenceTimer = setTimeout(check, left);
    };
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(check, this.#silenceMs);
  }

  /** @param {object} message */
  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  // ── what arrives ──────────────────────────────────────────────────────────────────────────

  /** @param {any} data */
  #frame(data) {
    this.#heardAt = Date.now();
    const socket = this.#socket;
    for (const line of String(data).split('\n')) {
      if (!line.trim() || this.#socket !== socket) continue;
      let message;
      try {
        message = JSON.parse(line);
      } catch {
        return this.#lost(1006, 'not JSON');
      }
      this.#receive(message);
    }
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.ev === 'hello') return this.#hello(message);
    if (message.ev === 'bye') return void (this.#bye = message.d ?? {});
    if (message.ev === 'snapshot') return this.#snapshot(message);
    if (message.ev) return this.#event(message);
    if (message.id !== undefined && this.#pending.has(message.id)) return this.#settle(message);
    if (message.err) return this.#emit('problem', toError(message.err));
    if (Object.keys(message).length === 0) this.#send({});
  }

  /** @param {Message} message */
  #hello(message) {
    const { server_time, heartbeat_ms } = message.d;
    /** @type {Record<string, Place & {recovered: boolean}>} */
    const channels = message.d.channels ?? {};
    this.#helloAt = Date.now();
    this.offset = (toMs(server_time) ?? Date.now()) - Date.now();
    if (heartbeat_ms) this.#silenceMs = 2.5 * heartbeat_ms;
    this.#listenForSilence();

    const before = this.#positions;
    this.#positions = new Map();
    for (const [ch, { epoch, off, recovered }] of Object.entries(channels)) {
      // Recovered: the missed events come next, so we still stand where we stood.
      this.#positions.set(ch, (recovered && before.get(ch)) || { epoch, off });
    }
    this.#setStatus('open');
    this.#apply(message);
    if (this.#watched.length) this.#askWatch();
    if (this.picture.room && !this.picture.room.members) this.#sync(`room:${this.picture.room.id}`, NOWHERE);
  }

  /** @param {Message} message */
  #snapshot(message) {
    const { ch = '', d } = message;
    this.#positions.set(ch, { epoch: d.epoch, off: d.off });
    this.#syncing.delete(ch);
    this.#apply(message);
  }

  /** @param {Message} message */
  #event(message) {
    if (this.#isNext(message)) this.#apply(message);
  }

  /**
   * Exactly once and in order; whatever is missing is asked for.
   * @param {Message} message
   */
  #isNext({ ch = '', off, eid }) {
    if (eid !== undefined) {
      if (this.#eids.has(eid)) return false;
      this.#eids.add(eid);
      const [oldest] = this.#eids;
      if (this.#eids.size > REMEMBERED_EIDS) this.#eids.delete(oldest);
      return true;
    }
    if (off === undefined) return true;
    const place = this.#positions.get(ch);
    if (!place || off <= place.off) return false;
    if (off > place.off + 1) {
      this.#sync(ch, place);
      return false;
    }
    place.off = off;
    return true;
  }

  /**
   * @param {string} ch
   * @param {Place} place
   */
  async #sync(ch, { epoch, off }) {
    if (Date.now() - (this.#syncing.get(ch) ?? -Infinity) < SYNC_MS) return;
    this.#syncing.set(ch, Date.now());
    try {
      const { channels = {} } = (await this.call('sync', { since: { [ch]: [epoch, off] } })) ?? {};
      if (channels[ch]?.recovered) this.#syncing.delete(ch);
      if (!channels[ch]) this.#positions.delete(ch);
    } catch (error) {
      const { code, retryMs } = /** @type {SolgikError} */ (error);
      if (code === 'offline' || code === 'disconnected') return;
      this.#syncing.delete(ch);
      if (retryMs) return void setTimeout(() => this.#sync(ch, this.#positions.get(ch) ?? NOWHERE), retryMs);
      this.#positions.clear(); // start over with a whole picture
      this.#lost(1006, 'sync refused');
    }
  }

  /** @param {Message} message */
  #apply(message) {
    this.picture = reduce(this.picture, message);
    for (const ch of this.#positions.keys()) {
      const isRoom = ch.startsWith('room:');
      if (isRoom && ch !== `room:${this.picture.room?.id}`) this.#positions.delete(ch);
    }
    this.#emit('picture', this.picture, message);
    this.#emit('event', message);
    if (message.ev) this.#emit(message.ev, message);
  }

  /** @param {Message} answer */
  #settle({ id = 0, ok, err }) {
    const call = this.#pending.get(id);
    if (!call) return;
    this.#pending.delete(id);
    clearTimeout(call.timer);
    if (err) return call.reject(toError(err));
    // The answer moves this device and brings the room; `room.moved` and a snapshot do the same for the others.
    if (call.op === 'room.leave') this.#event({ ev: 'room.moved', d: { room: null } });
    if (call.op === 'room.enter') {
      for (const [ch, place] of Object.entries(/** @type {Record<string, Place>} */ (ok.channels))) {
        this.#snapshot({ ev: 'snapshot', ch, d: { ...place, room: ok.room } });
      }
    }
    call.resolve(ok);
  }

  #askWatch() {
    const asked = this.#watched.length
      ? this.call('room.watch', { rooms: this.#watched })
      : this.call('room.unwatch');
    asked.then(
      (ok) => ok?.rooms && this.#emit('room.counts', { ev: 'room.counts', d: { rooms: ok.rooms } }),
      (error) => this.#emit('problem', error),
    );
  }

  #since() {
    if (!this.#positions.size) return undefined;
    return Object.fromEntries([...this.#positions].map(([ch, { epoch, off }]) => [ch, [epoch, off]]));
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status) return;
    this.status = status;
    this.#emit('status', status);
  }

  /**
   * @param {string} name
   * @param {any[]} values
   */
  #emit(name, ...values) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        console.error(error); // a listener's mistake must not cost us our place
      }
    }
  }
}

/** @param {Refusal} refusal */
function toError({ code, message, retry_ms }) {
  return new SolgikError(code, message, retry_ms ?? null);
}

// ── the picture: a pure function of what was said ──────────────────────────────────────────

/**
 * The picture after a message. Pure; it trusts that the message is the next of its channel.
 * @param {Picture} picture
 * @param {Message} message
 * @returns {Picture} the same object if nothing changed
 */
export function reduce(picture, message) {
  const change = CHANGES[message.ev ?? ''];
  return change ? change(picture, message.d ?? {}, message) : picture;
}

/** @type {Record<string, (picture: Picture, d: any, message: Message) => Picture>} */
const CHANGES = {
  hello(picture, d) {
    /** @param {string} ch */
    const recovered = (ch) => d.channels?.[ch]?.recovered === true;
    const keepUser = recovered(`user:${d.user.id}`) && picture.user?.id === d.user.id;
    const keepRoom = d.room && recovered(`room:${d.room.id}`) && picture.room?.id === d.room.id;
    return {
      user: d.user,
      run: keepUser ? picture.run : d.run ?? null,
      room: keepRoom ? picture.room : toRoom(d.room),
      friends: keepUser ? picture.friends : (d.friends ?? []).map(toFriend),
      requests: keepUser ? picture.requests : (d.requests ?? []).map(toRequest),
    };
  },

  snapshot(picture, d, { ch = '' }) {
    if (ch.startsWith('user:')) {
      return {
        ...picture,
        run: d.run ?? null,
        friends: (d.friends ?? []).map(toFriend),
        requests: (d.requests ?? []).map(toRequest),
      };
    }
    if (d.room) return { ...picture, room: toRoom(d.room) };
    return ch === `room:${picture.room?.id}` ? { ...picture, room: null } : picture;
  },

  'room.entered': (picture, { member }, { ch }) =>
    inRoom(picture, ch, (room) => ({ ...room, members: put(room.members, toMember(member)) })),
  'room.exited': (picture, { user }, { ch }) =>
    user === picture.user?.id
      ? inRoom(picture, ch, () => null)
      : inRoom(picture, ch, (room) => ({ ...room, members: without(room.members, user) })),
  'room.updated': (picture, d, { ch }) =>
    inRoom(picture, ch, (room) => {
      if (d.member) return { ...room, members: put(room.members, toMember(d.member)) };
      const { name, description, has_password } = { ...room, ...(d.room ?? d) };
      return { ...room, name, description, has_password };
    }),
  'room.closed': (picture, d, { ch }) => inRoom(picture, ch, () => null),
  'room.moved': (picture, { room }) =>
    picture.room && picture.room.id !== room ? { ...picture, room: null } : picture,

  'presence.online': (picture, d, { ch, at }) =>
    forMember(picture, ch, d.user, { online: true, since: d.since ?? at }),
  'presence.offline': (picture, d, { ch, at }) =>
    forMember(picture, ch, d.user, { online: false, since: d.at ?? at }),
  'presence.batch': (picture, { online = [], offline = [] }, { ch }) => {
    /** @type {Map<number, Partial<Member>>} */
    const news = new Map();
    for (const { user, since } of online) news.set(user, { online: true, since });
    for (const { user, at } of offline) news.set(user, { online: false, since: at });
    return inRoom(picture, ch, (room) => ({
      ...room,
      members: room.members.map((member) => ({ ...member, ...news.get(member.id) })),
    }));
  },

  'timer.started': timer(({ run }) => run),
  'timer.resumed': timer(({ run }) => run),
  'timer.paused': timer(({ run }) => run),
  'timer.stopped': timer(() => null),
  'timer.phase': timer((d, run) => (run && run.id === d.run ? inPhase(run, d) : run)),
  'goal.changed': (picture, { user, text }, { ch }) => forMember(picture, ch, user, { goal: text }),

  'friend.requested': (picture, d, { at }) => {
    const request = toRequest({ at, ...d });
    return { ...picture, requests: [...withoutSender(picture.requests, request.user.id), request] };
  },
  'friend.cancelled': (picture, { user }) => ({ ...picture, requests: withoutSender(picture.requests, user) }),
  'friend.rejected': (picture, { user }) => ({ ...picture, requests: withoutSender(picture.requests, user) }),
  'friend.accepted': (picture, { friend }) => ({
    ...picture,
    friends: put(picture.friends, toFriend(friend)),
    requests: withoutSender(picture.requests, friend.id),
  }),
  'friend.removed': (picture, { user }) => ({ ...picture, friends: without(picture.friends, user) }),
  'friend.online': (picture, { user }) => forFriend(picture, user, { online: true }),
  'friend.offline': (picture, { user }) => forFriend(picture, user, { online: false }),
  'friend.state': (picture, { user, state }) => forFriend(picture, user, { current_state: toState(state) }),
};

/**
 * A timer event says it of a member in the room's channel, and of oneself in one's own.
 * @param {(d: any, run: ?Run) => ?Run} runAfter
 * @returns {(picture: Picture, d: any, message: Message) => Picture}
 */
function timer(runAfter) {
  return (picture, d, { ch = '' }) => {
    if (ch.startsWith('user:')) {
      const run = runAfter(d, picture.run);
      return { ...picture, run, user: picture.user && { ...picture.user, current_state: toState(run?.state) } };
    }
    return inRoom(picture, ch, (room) => ({
      ...room,
      members: room.members.map((member) => {
        if (member.id !== d.user) return member;
        const run = runAfter(d, member.run);
        return { ...member, run, current_state: toState(run?.state) };
      }),
    }));
  };
}

/**
 * The run as it was told before, in the phase that has just been told.
 * @param {Run} run
 * @param {any} told
 * @returns {Run}
 */
function inPhase(run, { phase, index, state, ends_at, next, server_time }) {
  const elapsed_ms = run.elapsed_ms + (toMs(server_time) ?? 0) - (toMs(run.server_time) ?? 0);
  return { ...run, phase, index, state, ends_at, next, server_time, elapsed_ms };
}

/** @type {(picture: Picture, ch: string|undefined, change: (room: Room) => ?Room) => Picture} */
const inRoom = (picture, ch, change) =>
  picture.room && ch === `room:${picture.room.id}` ? { ...picture, room: change(picture.room) } : picture;
/** @type {(picture: Picture, ch: string|undefined, user: number, news: Partial<Member>) => Picture} */
const forMember = (picture, ch, user, news) =>
  inRoom(picture, ch, (room) => ({ ...room, members: amend(room.members, user, news) }));
/** @type {(picture: Picture, user: number, news: Partial<Friend>) => Picture} */
const forFriend = (picture, user, news) => ({ ...picture, friends: amend(picture.friends, user, news) });

/** @type {<Row extends {id: number}>(rows: Row[], id: number, news: Partial<Row>) => Row[]} */
const amend = (rows, id, news) => rows.map((row) => (row.id === id ? { ...row, ...news } : row));
/** @type {<Row extends {id: number}>(rows: Row[], id: number) => Row[]} */
const without = (rows, id) => rows.filter((row) => row.id !== id);
/** @type {(requests: FriendRequest[], id: number) => FriendRequest[]} */
const withoutSender = (requests, id) => requests.filter(({ user }) => user.id !== id);
/** @type {<Row extends {id: number}>(rows: Row[], row: Row) => Row[]} */
const put = (rows, row) =>
  rows.some(({ id }) => id === row.id) ? amend(rows, row.id, row) : [...rows, row];

/** @type {Record<string, number>} */
const STATE_NAMES = { idle: 1, studying: 2, break: 3, paused: 4 };
/** @type {(state: string|number|undefined) => number} */
const toState = (state) => (typeof state === 'string' ? STATE_NAMES[state] : state) ?? STATE.IDLE;

/** @type {(room: any) => ?Room} */
const toRoom = (room) => room && { ...room, members: room.members?.map(toMember) };
/** @type {(member: any) => Member} */
const toMember = (member) => ({ ...member, current_state: toState(member.current_state ?? member.state) });
/** @type {(friend: any) => Friend} */
const toFriend = (friend) => ({ ...friend, current_state: toState(friend.state ?? friend.current_state) });
/** @type {(request: any) => FriendRequest} */
const toRequest = ({ person, user, sender, at, created_at }) => {
  const from = person ?? user ?? sender;
  return { user: typeof from === 'number' ? { id: from } : from, at: at ?? created_at ?? null };
};
