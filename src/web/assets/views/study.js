/**
 * What one's own days come to: a year as a field of lamps, days in a row, hours of the day; and the
 * ledger that every minute of it comes from.
 */

import { query } from '../api.js';
import { h, svg } from '../dom.js';
import { clock, date, duration, month, number, t, weekday } from '../i18n.js';
import { sentence } from '../sentences.js';
import { card, empty, heading } from './parts.js';

const DAY = 86_400_000;
const PAGE_SIZE = 20;
const BRIGHT = [1, 60, 120, 240]; // minutes from which a day is drawn brighter
const CELL = 13;
const LEFT = 26; // for the names of the weekdays
const TOP = 18; // for those of the months

export const path = (account) => `/accounts/${account}/study/`;

export function study(app, page) {
  const body = h('div', { class: 'stack' }, h('p', { class: 'muted', role: 'status' }, t('app.loading')));

  async function load() {
    try {
      const told = await app.api.get(path(app.userId));
      if (page.left) return;
      body.replaceChildren(...drawn(told), ledger(app, page));
      toToday(body);
    } catch (error) {
      if (page.left) return;
      const again = h('button', { type: 'button', class: 'quiet', onclick: load }, t('app.retry'));
      body.replaceChildren(empty(sentence(error), again));
    }
  }

  load();
  return h('div', { class: 'page middle' }, heading(t('study.title'), h('p', { class: 'muted' }, t('study.lead'))), body);
}

function drawn(told) {
  const { figures, calendar } = glance(told, 'study.summary');
  return [figures, card(t('study.calendar'), ...calendar), card(t('study.hours'), clockFace(told.hours))];
}

/** A year at a glance: one's own, or a friend's. */
export function glance({ from, to, days, streak }, key, name) {
  const minutes = days.reduce((sum, day) => sum + day.minutes, 0);
  const lit = days.filter((day) => day.minutes > 0).length;
  const summary = t(key, { name, days: number(lit), time: duration(minutes) });
  return {
    figures: h(
      'dl',
      { class: 'figures' },
      figure(t('study.current'), t('study.days', { n: number(streak.current) }), streak.current > 0),
      figure(t('study.longest'), t('study.days', { n: number(streak.longest) })),
      figure(t('study.year'), duration(minutes)),
    ),
    calendar: [
      h('div', { class: 'heat-scroll', tabindex: '0', role: 'group', 'aria-label': t('study.calendar') }, heat(from, to, days, summary)),
      legend(),
    ],
  };
}

/** A long year is scrolled to its end. */
export function toToday(inside) {
  const field = inside.querySelector('.heat-scroll');
  field.scrollLeft = field.scrollWidth;
}

const figure = (label, value, isLit) =>
  h('div', { class: isLit ? 'figure lit' : 'figure' }, h('dt', {}, label), h('dd', {}, value));

const brightness = (minutes) => BRIGHT.filter((least) => minutes >= least).length;

/** Days by weeks that begin on Monday. Calendar days are counted in UTC, where none is longer. */
function heat(from, to, days, summary) {
  const minutes = new Map(days.map((day) => [day.day, day.minutes]));
  const [first, last] = [Date.parse(from), Date.parse(to)];
  const sinceMonday = (new Date(first).getUTCDay() + 6) % 7;
  const place = (at) => {
    const n = Math.round((at - first) / DAY) + sinceMonday;
    return { x: LEFT + Math.floor(n / 7) * CELL, y: TOP + (n % 7) * CELL };
  };
  const cells = [];
  const names = [];
  let named = -Infinity; // where the last name of a month stands
  for (let at = first; at <= last; at += DAY) {
    const day = new Date(at).toISOString().slice(0, 10);
    const { x, y } = place(at);
    const studied = minutes.get(day) ?? 0;
    const told = svg('title', {}, `${date(at)}: ${duration(studied)}`);
    cells.push(svg('rect', { class: `heat-${brightness(studied)}`, x, y, width: CELL - 3, height: CELL - 3, rx: 2.5 }, told));
    if (day.endsWith('-01') && x - named > 2 * CELL) {
      names.push(svg('text', { x, y: 11 }, month(at)));
      named = x;
    }
  }
  // 1970-01-05 was a Monday.
  const weekdays = [0, 2, 4].map((n) => svg('text', { x: 0, y: TOP + n * CELL + 9.5 }, weekday((4 + n) * DAY)));
  const width = place(last).x + CELL;
  const height = TOP + 7 * CELL;
  return svg('svg', { class: 'heat', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': summary }, names, weekdays, cells);
}

function legend() {
  const steps = [0, 1, 2, 3, 4].map((n) => h('i', { class: `heat-${n}` }));
  return h('p', { class: 'heat-legend', 'aria-hidden': 'true' }, t('study.less'), steps, t('study.more'));
}

/** A bar for each hour, as high as its share of the fullest. */
function clockFace(hours) {
  const most = Math.max(...hours, 1);
  const bars = hours.map((minutes, hour) => {
    const height = Math.max((minutes / most) * 72, 1.5);
    const told = svg('title', {}, t('study.hour', { hour, time: duration(minutes) }));
    return svg('rect', { class: minutes ? 'hour on' : 'hour', x: hour * 15 + 2, y: 76 - height, width: 11, height, rx: 2 }, told);
  });
  const marks = [0, 6, 12, 18].map((hour) => svg('text', { x: hour * 15 + 2, y: 92 }, t('study.oclock', { hour })));
  const best = hours.indexOf(Math.max(...hours));
  const summary = hours[best] > 0 ? t('study.best', { hour: best, next: (best + 1) % 24 }) : t('study.nothing');
  return h(
    'div',
    { class: 'stack-small' },
    svg('svg', { class: 'hours', viewBox: '0 0 362 96', role: 'img', 'aria-label': summary }, bars, marks),
    h('p', { class: 'muted' }, summary),
  );
}

/** Every stretch of study, the newest first, as the server wrote it down. */
function ledger(app, page) {
  const list = h('ol', { class: 'ledger' });
  const status = h('div', { role: 'status' }, h('p', { class: 'muted' }, t('app.loading')));
  const more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => load() }, t('app.more'));
  const element = card(t('study.ledger'), h('p', { class: 'muted' }, t('study.ledgerLead')), status, list, h('div', { class: 'centred' }, more));
  const known = new Set();
  let pages = 0;

  async function load() {
    more.disabled = true;
    try {
      const { rows, total } = await app.api.list(`/accounts/ledger/${query({ _page: pages + 1, _limit: PAGE_SIZE })}`);
      if (page.left) return;
      pages += 1;
      const fresh = rows.filter(({ id }) => !known.has(id));
      fresh.forEach(({ id }) => known.add(id));
      list.append(...fresh.map(entry));
      more.hidden = pages * PAGE_SIZE >= total;
      status.replaceChildren(...(known.size ? [] : [empty(t('study.ledgerNone'))]));
    } catch (error) {
      if (error.status === 404) return element.remove();
      more.hidden = false;
      status.replaceChildren(h('p', { class: 'form-message' }, sentence(error)));
    } finally {
      more.disabled = false;
    }
  }

  load();
  return element;
}

function entry({ kind, source, day, from, to, points }) {
  const [begins, ends] = [Date.parse(from), Date.parse(to)];
  return h(
    'li',
    { class: kind },
    h('span', {}, source === 'correction' ? t('study.correction') : t(`study.${kind}`)),
    h('span', { class: 'muted' }, `${date(Date.parse(day))} ${clock(begins, true)} – ${clock(ends, true)}`),
    h('span', { class: 'points' }, kind === 'work' ? t('ranking.points', { n: number(points) }) : ''),
  );
}
