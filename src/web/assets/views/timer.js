/**
 * One's own timer as it is seen in every view: a ring, the time that is left, what comes next, and
 * the two or three things that one can do about it.
 */

import { notifications } from '../bell.js';
import { h, say } from '../dom.js';
import { cancel, dialog } from '../form.js';
import { clock, t } from '../i18n.js';
import { icon, ring } from './parts.js';
import { FIRST, numbers, planForm } from './time.js';

const MINUTE = 60_000;

export function timerBar(app) {
  const { timer } = app;
  const around = ring();
  const digits = h('p', { class: 'timer-digits', role: 'timer' });
  const [state, after] = [h('span'), h('span')];
  let busy = false;

  /** One command at a time; what it does is told by the picture. */
  const act = (order) => async () => {
    if (busy) return;
    busy = true;
    draw();
    await order().catch((error) => (error.code === 'plan_not_found' ? begin(FIRST) : app.fail(error)));
    busy = false;
    draw();
  };
  const choose = () => begin(app.plan ?? FIRST);
  const button = (key, drawn, look, onclick) =>
    h('button', { type: 'button', class: look, onclick, 'aria-label': t(`timer.${key}Label`) }, icon(drawn), h('span', {}, t(`timer.${key}`)));
  const buttons = {
    start: button('start', 'play', 'primary', act(timer.start)),
    other: button('other', 'clock', 'quiet', choose),
    pause: button('pause', 'pause', 'quiet', act(timer.pause)),
    resume: button('resume', 'play', 'primary', act(timer.resume)),
    stop: button('stop', 'stop', 'quiet', act(timer.stop)),
    bell: button('notify', 'bell', 'quiet bell', () => notifications.ask().then(draw, draw)),
  };
  const element = h(
    'section',
    { class: 'timer', 'aria-label': t('timer.title') },
    h(
      'div',
      { class: 'timer-inner' },
      around.element,
      h('div', { class: 'timer-face' }, digits, h('p', { class: 'timer-words' }, state, after)),
      h('div', { class: 'timer-actions' }, Object.values(buttons)),
    ),
  );

  function draw() {
    const now = timer.standing();
    const isOpen = Boolean(now) && !now.done;
    const isPaused = isOpen && now.state === 4;
    const offered = {
      start: !isOpen,
      other: !isOpen,
      bell: isOpen && notifications.permission === 'default',
      pause: isOpen && !isPaused,
      resume: isPaused,
      stop: isOpen,
    };
    const lost = element.contains(document.activeElement) && document.activeElement;
    for (const [name, one] of Object.entries(buttons)) {
      one.hidden = !offered[name];
      one.setAttribute('aria-disabled', String(busy)); // `disabled` would lose the focus
    }
    // The pressed button gives way to another one: so does the focus.
    if (lost?.hidden) focus();
    around.update(now);
    element.className = isOpen ? `timer running state-${now.state}` : 'timer';
    say(digits, isOpen ? face(now.left ?? now.elapsed - now.from, now.left === null) : t('timer.idle'));
    say(state, isOpen ? t(`state.${now.state}`) : t('timer.idleLead'));
    say(after, isOpen ? ahead(now) : '');
  }

  const focus = () => Object.values(buttons).find((one) => !one.hidden).focus();

  /** Start with minutes of one's own choice; the time setting stays as it is. */
  async function begin(setting) {
    await dialog(t('timer.begin'), (close) =>
      planForm({
        plan: setting,
        submit: t('timer.start'),
        extra: [cancel(close)],
        keep: true,
        onsubmit: async (values) => {
          await timer.start(numbers(values));
          close();
        },
      }),
    );
    if (document.activeElement === document.body) focus(); // the button that opened it is gone
  }

  const off = timer.onTick(draw);
  draw();
  return { element, close: off };
}

const ahead = ({ endsAt, next }) => (next && endsAt ? t(`timer.next.${next}`, { time: clock(endsAt, true) }) : '');

/** What the title of the tab says: true until the next boundary, because nobody counts in a hidden tab. */
export function doing(now) {
  if (!now || now.done) return '';
  return now.endsAt ? t('timer.until', { state: t(`state.${now.state}`), time: clock(now.endsAt, true) }) : t(`state.${now.state}`);
}

/** 1:02:03, or 02:03. What is left is rounded up, so that it says 0 only when it is over. */
function face(ms, isElapsed) {
  const seconds = isElapsed ? Math.floor(ms / 1000) : Math.ceil(ms / 1000);
  const [hours, rest] = [Math.floor(seconds / 3600), seconds % 3600];
  const pair = (number) => String(number).padStart(2, '0');
  const minutes = `${pair(Math.floor(rest / 60))}:${pair(rest % 60)}`;
  return hours ? `${hours}:${minutes}` : minutes;
}

/** The same in whole minutes, for those at the other desks. */
export function remaining({ left, elapsed }) {
  return left === null
    ? t('timer.elapsed', { n: Math.floor(elapsed / MINUTE) })
    : t('timer.left', { n: Math.ceil(left / MINUTE) });
}
