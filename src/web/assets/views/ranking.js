/**
 * Who has studied how much, in a window of time and among whom one likes; one's own row stands out,
 * and is there also where the page ends before it.
 */

import { query } from '../api.js';
import { h } from '../dom.js';
import { days, number, t } from '../i18n.js';
import { sentence } from '../sentences.js';
import { avatar, empty, heading, personName, segmented } from './parts.js';

const PAGE_SIZE = 20;
const PERIODS = ['day', 'week', 'month', 'all'];
const SCOPES = ['everyone', 'friends', 'room'];

let period = 'week'; // as it was left
let scope = 'everyone';

export function ranking(app, page) {
  let rows = [];
  let pages = 0;
  let asked = 0;

  const span = h('p', { class: 'muted' });
  const list = h('ol', { class: 'board' });
  const status = h('div', { role: 'status' });
  const more = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => load(pages + 1) }, t('app.more'));

  async function load(wanted) {
    const turn = ++asked; // only the last question's answer counts
    if (wanted === 1 && !rows.length) status.replaceChildren(h('p', { class: 'muted' }, t('app.loading')));
    try {
      const values = { order_by: 'point', period, scope: scope === 'everyone' ? '' : scope, _page: wanted, _limit: PAGE_SIZE };
      const answer = await app.api.list(`/accounts/${query(values)}`);
      if (turn !== asked || page.left) return;
      const before = wanted === 1 ? [] : rows;
      rows = [...before, ...answer.rows.filter(({ id }) => !before.some((row) => row.id === id))];
      pages = wanted;
      draw(answer);
    } catch (error) {
      if (turn !== asked || page.left) return;
      const again = h('button', { type: 'button', class: 'quiet', onclick: () => load(wanted) }, t('app.retry'));
      status.replaceChildren(empty(sentence(error), again));
    }
  }

  function draw({ total, beside: { from, to, zone, me } }) {
    span.textContent = from && to ? days(from, to, zone) : t('ranking.always');
    const isBelow = me && !rows.some(({ id }) => id === me.id);
    list.replaceChildren(
      ...rows.map((row) => line(row, row.id === app.userId)),
      ...(isBelow && rows.length ? [line(me, true, 'apart')] : []),
    );
    status.replaceChildren(...(rows.length ? [] : [empty(t(`ranking.none.${scope}`))]));
    more.hidden = pages * PAGE_SIZE >= total;
  }

  function again() {
    rows = [];
    load(1);
  }

  const options = (kind, values) => values.map((value) => ({ value, text: t(`ranking.${kind}.${value}`) }));
  load(1);
  return h(
    'div',
    { class: 'page narrow' },
    heading(t('ranking.title'), span),
    h(
      'div',
      { class: 'choosers' },
      segmented(t('ranking.period'), options('period', PERIODS), period, (value) => {
        period = value;
        again();
      }),
      segmented(t('ranking.scope'), options('scope', SCOPES), scope, (value) => {
        scope = value;
        again();
      }),
    ),
    h('section', { class: 'card', 'aria-label': t('ranking.title') }, status, list, h('div', { class: 'centred' }, more)),
  );
}

function line(row, isMe, look = '') {
  return h(
    'li',
    { class: `standing ${isMe ? 'mine' : ''} ${look}`, 'aria-current': isMe && 'true' },
    h('span', { class: `rank rank-${row.rank}` }, row.rank ? t('ranking.rank', { n: number(row.rank) }) : t('ranking.hidden')),
    avatar(row),
    h('span', { class: 'standing-name' }, personName(row.name), isMe && h('span', { class: 'me' }, t('room.me'))),
    h('span', { class: 'points' }, t('ranking.points', { n: number(row.point) })),
  );
}
