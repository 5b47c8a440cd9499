/**
 * One's own timer: what is asked of the server, and the boundaries that ring by the clock, with or
 * without a connection, once each, also in a tab that nobody looks at.
 */

import { standing } from './timeline.js';

const MOVED_MS = 2_000; // a boundary that is this far ahead again was moved, by a pause elsewhere
const AGAIN_MS = 15_000; // how long a command whose fate is unknown waits for a connection
const TRIES = 3;
const EARLY_MS = 5; // timers may come a little early; then the boundary isn't there yet

/**
 * @param {import('./solgik-client.js').SolgikClient} client
 * @param {(rung: {key: string, phase: 'work'|'break'|'end'}) => void} ring
 */
export function createTimer(client, ring) {
  const listeners = new Set();
  const alarm = createAlarm(check);
  let seen = null; // the run and the phase that were last heard of
  let pulse;

  /** Look at the clock: rings the present phase if it is news, and sets the alarm for the next one. */
  function check() {
    const { run } = client.picture;
    const now = standing(run, client.now());
    if (now) {
      const index = now.done ? Infinity : now.index;
      const isSame = seen?.run === run.id;
      const isNews = isSame && index > seen.index;
      // A clock that was set back a little must not ring twice; a pause elsewhere moves the boundary.
      if (!isSame || isNews || (now.left ?? Infinity) > MOVED_MS) seen = { run: run.id, index };
      if (isNews) tell(run.id, index, now.done ? 'end' : now.phase);
    } else {
      seen = null;
    }
    alarm.set(now?.endsAt && !now.done ? Math.max(now.endsAt - client.now(), 0) + EARLY_MS : null);
    listeners.forEach((listener) => listener());
    clearTimeout(pulse);
    if (!document.hidden) pulse = setTimeout(check, untilNextSecond(now) + EARLY_MS);
  }

  const tell = (run, index, phase) => ring({ key: `${run}:${phase === 'end' ? phase : index}`, phase });

  const offPicture = client.on('picture', (_, { ev, ch, d }) => {
    const isOwnEnd = ev === 'timer.stopped' && ch?.startsWith('user:') && d.reason === 'completed';
    if (isOwnEnd && seen?.run === d.run.id && seen.index !== Infinity) tell(d.run.id, Infinity, 'end');
    check();
  });
  document.addEventListener('visibilitychange', check);
  check();

  /** Ask; an answer that was lost is asked for again under the same id, so that it counts once. */
  async function command(op, values = {}) {
    const d = { ...values, cmd: commandId() };
    for (let left = TRIES; ; ) {
      try {
        return await client.call(op, d);
      } catch (error) {
        const isUnknown = error.code === 'disconnected' || error.code === 'timeout';
        if (!isUnknown || --left === 0 || !(await opened())) throw error;
      }
    }
  }

  /** Whether there is a connection, before it would be too late to mean the same. */
  function opened() {
    return new Promise((resolve) => {
      const done = (is) => {
        off();
        clearTimeout(late);
        resolve(is);
      };
      const off = client.on('status', (status) => status === 'open' && done(true));
      const late = setTimeout(done, AGAIN_MS, false);
      if (client.status === 'open') done(true);
    });
  }

  const onOwn = (op) => () => command(op, { run: client.picture.run?.id });

  return {
    get run() {
      return client.picture.run;
    },
    standing: () => standing(client.picture.run, client.now()),
    /** With the time setting, or with other minutes. */
    start: (minutes) => command('timer.start', minutes),
    pause: onOwn('timer.pause'),
    resume: onOwn('timer.resume'),
    stop: onOwn('timer.stop'),
    /** Whenever what is drawn of a run may look different. */
    onTick(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      offPicture();
      document.removeEventListener('visibilitychange', check);
      clearTimeout(pulse);
      alarm.close();
      listeners.clear();
    },
  };
}

/** Milliseconds until the digits change. */
function untilNextSecond(now) {
  if (!now || now.done || now.state === 4) return 1000;
  return now.left === null ? 1000 - (now.elapsed % 1000) : now.left % 1000;
}

/** Random enough; unlike `randomUUID` it is there on a page without TLS, too. */
const commandId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

function createAlarm(wake) {
  let worker = null;
  let timer;
  try {
    worker = new Worker(new URL('alarm-worker.js', import.meta.url));
    worker.onmessage = wake;
  } catch {
    // The page's own timers will do, if less punctually.
  }
  return {
    set(delay) {
      if (worker) return worker.postMessage(delay);
      clearTimeout(timer);
      if (delay !== null) timer = setTimeout(wake, delay);
    },
    close() {
      worker?.terminate();
      clearTimeout(timer);
    },
  };
}
