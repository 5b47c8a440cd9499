/**
 * The time setting: how long in all, how long to study, how long to rest; drawn as a band while
 * one types; and how its boundaries are heard. Running it is not this view's business.
 */

import { notifications, sound } from '../bell.js';
import { h, svg, say } from '../dom.js';
import { t } from '../i18n.js';
import { form } from '../form.js';
import { sentence } from '../sentences.js';
import { card, empty, heading, segmented } from './parts.js';

const PATH = '/accounts/timesetting/';
export const FIRST = { total_time: 240, work_time: 50, break_time: 10 };
const PRESETS = [[25, 5], [50, 10], [90, 20]]; // what many study by
const OPEN_END_CYCLES = 4; // how much of an open end is drawn

export function time(app, page) {
  const body = h('div', {}, h('p', { class: 'muted', role: 'status' }, t('app.loading')));

  async function load() {
    try {
      draw((await app.profile()).time_setting);
    } catch (error) {
      const again = h('button', { type: 'button', class: 'quiet', onclick: load }, t('app.retry'));
      body.replaceChildren(empty(sentence(error), again));
    }
  }

  function draw(setting) {
    if (page.left) return;
    const start = setting ?? FIRST;
    const view = preview();
    view.update(start);
    const remove = h(
      'button',
      { type: 'button', class: 'quiet', onclick: () => forget(remove) },
      t('time.delete'),
    );
    body.replaceChildren(
      h(
        'section',
        { class: 'card' },
        view.element,
        planForm({
          plan: start,
          submit: t('time.save'),
          keep: true,
          extra: setting ? [remove] : [],
          oninput: (values) => view.update(numbers(values)),
          onsubmit: async (values) => {
            const method = setting ? 'put' : 'post';
            await app.api[method](PATH, numbers(values));
            app.notify(t('time.saved'));
            if (setting) await app.profile();
            else await load();
          },
        }),
      ),
    );
  }

  async function forget(button) {
    button.disabled = true;
    try {
      await app.api.delete(PATH);
      app.notify(t('time.deleted'));
      await load();
    } catch (error) {
      app.fail(error);
      button.disabled = false;
    }
  }

  load();
  return h('div', { class: 'page narrow' }, heading(t('time.title'), h('p', { class: 'muted' }, t('time.lead'))), body, bellCard());
}

/** How phase changes are heard here; the system is asked only when somebody presses the button. */
function bellCard() {
  const state = h('p', { class: 'muted', role: 'status' });
  const ask = h('button', { type: 'button', class: 'quiet', onclick: () => notifications.ask().then(draw, draw) }, t('timer.notify'));
  function draw() {
    const { permission } = notifications;
    say(state, t(`timer.notify.${permission}`));
    ask.hidden = permission !== 'default';
  }
  draw();
  const choose = (on) => {
    sound.isOn = on;
    if (on) sound.play('work');
  };
  const options = [{ value: true, text: t('timer.soundOn') }, { value: false, text: t('timer.soundOff') }];
  return card(
    t('timer.bell'),
    segmented(t('timer.sound'), options, sound.isOn, choose),
    state,
    h('div', { class: 'actions' }, ask),
  );
}

/** A form for the three numbers of a plan, beginning with those of `plan`. */
export function planForm({ plan, ...options }) {
  const element = form({ fields: minuteFields(plan), ...options });
  const preset = ([work, rest]) =>
    h(
      'button',
      {
        type: 'button',
        class: 'quiet',
        'aria-label': t('time.cycle', { work, rest }),
        onclick: () => {
          element.elements.work_time.value = work;
          element.elements.break_time.value = rest;
          element.dispatchEvent(new Event('input'));
        },
      },
      t('time.preset', { work, rest }),
    );
  const presets = h('div', { class: 'presets', role: 'group', 'aria-label': t('time.presets') }, PRESETS.map(preset));
  element.querySelector('.form-message').before(presets);
  return element;
}

function minuteFields(plan) {
  const minutes = (name, key, max) => ({
    name,
    label: t(`time.${key}`),
    hint: t(`time.${key}Hint`),
    value: String(plan[name]),
    type: 'number',
    inputmode: 'numeric',
    min: 0,
    max,
  });
  return [
    minutes('total_time', 'total', 1440),
    { ...minutes('work_time', 'work', 480), half: true },
    { ...minutes('break_time', 'break', 480), half: true },
  ];
}

const whole = (minutes) => Math.min(Math.max(Math.floor(minutes) || 0, 0), 1440);
export const numbers = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));

/** The phases of a plan, as pairs of kind and minutes. */
function phases(plan) {
  const [total_time, work_time, break_time] = [plan.total_time, plan.work_time, plan.break_time].map(whole);
  if (work_time === 0) return [['work', total_time || 60]];
  const end = total_time > 0 ? total_time : OPEN_END_CYCLES * (work_time + break_time);
  const list = [];
  for (let at = 0, working = true; at < end; working = !working) {
    const length = Math.min(working ? work_time : break_time, end - at);
    if (length > 0) list.push([working ? 'work' : 'break', length]);
    at += length;
  }
  return list;
}

function preview() {
  const band = svg('svg', { class: 'band', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const cycle = h('strong');
  const sum = h('span', { class: 'muted' });
  return {
    element: h('div', { class: 'preview', role: 'group', 'aria-label': t('time.preview') }, band, h('p', {}, cycle, sum)),
    update(plan) {
      const list = phases(plan);
      const length = list.reduce((at, [, minutes]) => at + minutes, 0);
      band.setAttribute('viewBox', `0 0 ${length} 10`);
      let x = 0;
      band.replaceChildren(
        ...list.map(([kind, width]) => {
          const drawn = svg('rect', { class: kind, x, y: 0, width, height: 10 });
          x += width;
          return drawn;
        }),
      );
      const study = list.filter(([kind]) => kind === 'work').reduce((at, [, minutes]) => at + minutes, 0);
      say(cycle, plan.work_time > 0 ? t('time.cycle', { work: plan.work_time, rest: plan.break_time || 0 }) : t('time.straight'));
      say(sum, plan.total_time > 0 ? t('time.sum', { total: plan.total_time, study }) : t('time.open'));
    },
  };
}
