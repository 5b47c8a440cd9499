/**
 * The room that one sits in: a desk for each member, whose lamp is lit while they study; one's own
 * goal; and what happens and is said, as it happens.
 */

import { h, keyed, say } from '../dom.js';
import { clock, t } from '../i18n.js';
import { toMs } from '../solgik-client.js';
import { form } from '../form.js';
import { standing } from '../timeline.js';
import { avatar, card, empty, heading, personName, presence, ring, stateTag } from './parts.js';
import { remaining } from './timer.js';

export function room(app, page) {
  const root = h('div', { class: 'page' });
  let shown; // the id of the room that is drawn, null for none, undefined for nothing yet
  let update;

  function draw() {
    const { user, room: here } = app.client.picture;
    const wanted = here?.members ? here.id : user ? null : 'connecting';
    if (wanted !== shown) {
      shown = wanted;
      const drawn = here?.members ? study(app, page, here) : { elements: elsewhere(wanted) };
      root.replaceChildren(...drawn.elements);
      update = drawn.update;
    }
    update?.(here, user);
  }

  page.on('picture', draw);
  page.onLeave(app.timer.onTick(draw));
  draw();
  return root;
}

function elsewhere(wanted) {
  if (wanted === 'connecting') return [heading(t('room.title')), h('p', { class: 'muted', role: 'status' }, t('room.connecting'))];
  return [
    heading(t('room.title')),
    empty(
      t('room.none'),
      h('p', { class: 'muted' }, t('room.noneLead')),
      h('a', { class: 'button primary', href: '#/rooms' }, t('room.toRooms')),
    ),
  ];
}

function study(app, page, first) {
  const title = h('bdi', {}, first.name);
  const description = h('p', { class: 'muted' });
  const count = h('span', { class: 'count muted' });
  const seats = h('ul', { class: 'seats' });
  const leave = h('button', { type: 'button', class: 'quiet', onclick: () => depart(app, leave) }, t('room.leave'));
  const myGoal = first.members.find(({ id }) => id === app.client.picture.user?.id)?.goal;

  const elements = [
    heading(title, description, leave),
    h(
      'div',
      { class: 'room-plan' },
      h('section', { 'aria-labelledby': 'seats-title' }, h('div', { class: 'section-head' }, h('h2', { id: 'seats-title' }, t('room.seats')), count), seats),
      h('aside', { class: 'room-side' }, goalCard(app, myGoal), cheerCard(app, page)),
    ),
  ];

  return {
    elements,
    update(here, user) {
      say(title, here.name);
      say(description, here.description ?? '');
      const online = here.members.filter((member) => member.online).length;
      say(count, t('room.count', { n: here.members.length, online }));
      const mine = here.members.filter(({ id }) => id === user?.id);
      const others = here.members.filter(({ id }) => id !== user?.id);
      keyed(seats, [...mine, ...others], { create: (member) => seat(app, member, member.id === user?.id) });
    },
  };
}

async function depart(app, button) {
  button.disabled = true;
  try {
    await app.client.call('room.leave');
    app.navigate('#/rooms');
  } catch (error) {
    app.fail(error);
    button.disabled = false;
  }
}

/** One member's desk. What they do follows from their run by the clock. */
function seat(app, first, isMe) {
  const name = personName(first.name);
  const here = presence({ online: t('room.online'), offline: t('room.offline') });
  const state = stateTag();
  const around = ring(avatar(first));
  const run = h('p', { class: 'seat-run' });
  const goal = h('p', { class: 'goal clamp' });
  const element = h(
    'li',
    { class: 'seat' },
    h(
      'div',
      { class: 'seat-who' },
      around.element,
      h('div', { class: 'seat-name' }, h('h3', {}, name, isMe && h('span', { class: 'me' }, t('room.me'))), here.element),
      state.element,
    ),
    run,
    goal,
  );
  return {
    element,
    update(member) {
      const now = standing(member.run, app.client.now());
      const doing = now ? now.state : member.current_state;
      const since = toMs(member.since);
      say(name, member.name);
      here.update(member.online, since ? ` · ${t('room.since', { time: clock(since) })}` : '');
      state.update(doing);
      around.update(now);
      run.hidden = !now || now.done;
      if (!run.hidden) say(run, [t('timer.since', { time: clock(toMs(member.run.started_at)) }), remaining(now)].join(' · '));
      const text = goalText(member.goal);
      say(goal, text);
      goal.hidden = !text;
      element.classList.toggle('away', !member.online);
      element.classList.toggle('studying', member.online && doing === 2);
    },
  };
}

const goalText = (goal) => (typeof goal === 'string' ? goal : goal?.text ?? '');

function goalCard(app, goal) {
  return card(
    t('room.goal'),
    form({
      fields: [
        {
          name: 'text',
          label: t('room.goal'),
          placeholder: t('room.goalPlaceholder'),
          value: goalText(goal),
          maxlength: 200,
          required: false,
          autocomplete: 'off',
        },
      ],
      submit: t('room.goalSave'),
      look: 'quiet',
      inline: true,
      keep: true,
      onsubmit: async ({ text }) => {
        await app.client.call('goal.set', { text: text || null });
        app.notify(t('room.goalSaved'));
      },
    }),
  );
}

/** What was said and who came and went, newest last; the live region tells it, not this list. */
function cheerCard(app, page) {
  const log = h('ol', { class: 'log', tabindex: '0', 'aria-label': t('room.log') });
  const nothing = h('p', { class: 'muted' }, t('room.logEmpty'));
  const line = ({ kind, at, name, text }) =>
    h(
      'li',
      { class: kind },
      kind === 'cheer'
        ? [h('p', { class: 'who' }, personName(name), h('time', {}, clock(at))), h('p', { class: 'what', dir: 'auto' }, text)]
        : [h('p', {}, text), h('time', {}, clock(at))],
    );
  const draw = () => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    nothing.hidden = app.diary.length > 0;
    log.hidden = app.diary.length === 0;
    keyed(log, app.diary, { create: (entry) => ({ element: line(entry) }) });
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  page.onDiary(draw);
  draw();
  requestAnimationFrame(() => (log.scrollTop = log.scrollHeight));

  return card(
    t('room.log'),
    nothing,
    log,
    form({
      fields: [
        { name: 'text', label: t('room.cheer'), placeholder: t('room.cheerPlaceholder'), maxlength: 200, autocomplete: 'off' },
      ],
      submit: t('room.send'),
      inline: true,
      onsubmit: async (values) => {
        await app.client.call('room.cheer', values);
      },
    }),
  );
}
