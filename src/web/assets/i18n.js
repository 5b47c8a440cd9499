/**
 * How this client says things: in Korean or English, and how times are written. Sentences about
 * refusals come from the server, which knows both languages too.
 */

import en from './words/en.js';
import ko from './words/ko.js';

const KEY = 'solgik.language';

const WORDS = { ko, en };

let current = stored() ?? (navigator.language?.toLowerCase().startsWith('ko') ? 'ko' : 'en');

function stored() {
  const language = localStorage.getItem(KEY);
  return language in WORDS ? language : null;
}

export const language = () => current;

export function setLanguage(language) {
  current = language;
  localStorage.setItem(KEY, language);
}

/** The sentence of a key, with `{params}` filled in. */
export function t(key, params = {}) {
  const sentence = WORDS[current][key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => isolated(params[name] ?? ''));
}

/** A name that is written from right to left turns nothing around it. */
const isolated = (value) => (/[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(value) ? `\u2068${value}\u2069` : value);

/** The hour of an instant; with its day, if that is not today and not said beside it. */
export function clock(ms, isDaySaid = false) {
  const today = new Date(ms).toDateString() === new Date().toDateString();
  const day = today || isDaySaid ? {} : { month: 'short', day: 'numeric' };
  return format({ ...day, hour: 'numeric', minute: '2-digit' }, ms);
}

export const number = (value) => new Intl.NumberFormat(current).format(value);

/** Calendar days, which have no zone: they come as midnights in UTC. */
export const date = (ms) => format({ month: 'short', day: 'numeric', timeZone: 'UTC' }, ms);
export const month = (ms) => format({ month: 'short', timeZone: 'UTC' }, ms);
export const weekday = (ms) => format({ weekday: 'short', timeZone: 'UTC' }, ms);

/** The days of a window whose end doesn't belong to it, as they are counted in `zone`. */
export function days(from, to, timeZone) {
  const formatter = new Intl.DateTimeFormat(current, { year: 'numeric', month: 'long', day: 'numeric', timeZone });
  return formatter.formatRange(Date.parse(from), Date.parse(to) - 1);
}

export function duration(minutes) {
  const h = Math.floor(minutes / 60);
  const m = h < 100 ? minutes % 60 : 0; // nobody counts minutes there
  const key = h === 0 ? 'minutes' : m === 0 ? 'hours' : 'both';
  return t(`duration.${key}`, { h: number(h), m });
}

const format = (options, ms) => new Intl.DateTimeFormat(current, options).format(ms);
