/**
 * Where a run stands at an instant: pure arithmetic over its plan and its anchor, the same that the
 * server does. No connection is needed, and it doesn't matter when or how often one asks.
 */

import { toMs } from './solgik-client.js';

const MINUTE = 60_000;

/**
 * @typedef {{phase: 'work'|'break', index: number, from: number, to: ?number}} Phase
 *   In active milliseconds since the start; `to` is null for a phase without an end.
 * @typedef {Phase & {state: 1|2|3|4, done: boolean, elapsed: number, length: ?number, left: ?number,
 *            endsAt: ?number, next: 'work'|'break'|'end'|null}} Standing
 *   `done` says that the plan is fulfilled; `endsAt` is null while paused.
 */

/**
 * @param {?import('./solgik-client.js').Run} run
 * @param {number} now the server's clock: `client.now()`
 * @returns {?Standing} null where there is nothing
 */
export function standing(run, now) {
  if (!run || toMs(run.ended_at) !== null) return null;
  const paused = toMs(run.paused_at) !== null;
  const anchor = toMs(run.server_time) ?? now;
  const elapsed = Math.max(run.elapsed_ms + (paused ? 0 : now - anchor), 0);
  const total = run.total_time * MINUTE || Infinity;
  const done = elapsed >= total;
  const phase = phaseAt(run, done ? total - 1 : elapsed, total);
  const { to } = phase;
  return {
    ...phase,
    state: done ? 1 : paused ? 4 : phase.phase === 'work' ? 2 : 3,
    done,
    elapsed: Math.min(elapsed, total),
    length: to && to - phase.from,
    left: to && Math.max(to - elapsed, 0),
    endsAt: to && !paused ? anchor + to - run.elapsed_ms : null,
    next: to === null ? null : to >= total ? 'end' : phaseAt(run, to, total).phase,
  };
}

/**
 * The phase that an active instant lies in. A phase owns its beginning, not its end.
 * @param {{work_time: number, break_time: number}} plan
 * @param {number} active
 * @param {number} total
 * @returns {Phase}
 */
function phaseAt({ work_time, break_time }, active, total) {
  const [work, rest] = [work_time * MINUTE, break_time * MINUTE];
  /** @param {number} to */
  const clip = (to) => (Math.min(to, total) === Infinity ? null : Math.min(to, total));
  if (work === 0) return { phase: 'work', index: 0, from: 0, to: clip(Infinity) };
  const cycle = work + rest;
  const round = Math.floor(active / cycle);
  const begins = round * cycle;
  const phases = rest === 0 ? 1 : 2; // of a cycle
  if (active - begins < work) return { phase: 'work', index: round * phases, from: begins, to: clip(begins + work) };
  return { phase: 'break', index: round * phases + 1, from: begins + work, to: clip(begins + cycle) };
}
