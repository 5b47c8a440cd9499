/**
 * What a person reads when something failed: the server's own sentence where it sent one, ours
 * where the server could not be asked.
 */

import { t } from './i18n.js';

const OURS = new Set(['network', 'offline', 'disconnected', 'timeout']);

export function sentence(error) {
  if (OURS.has(error.code)) return t(`error.${error.code}`);
  return error.message && error.message !== error.code ? error.message : t('error.unknown');
}
