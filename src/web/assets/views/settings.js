/**
 * Settings: names, product key, language, password, this device, and the end of the account.
 */

import { h } from '../dom.js';
import { ApiError } from '../api.js';
import { t } from '../i18n.js';
import { cancel, dialog, form } from '../form.js';
import { card, heading } from './parts.js';

export function settings(app, page) {
  const profile = card(t('settings.profile'), h('p', { class: 'muted', role: 'status' }, t('app.loading')));
  loadProfile(app, page, profile);

  return h(
    'div',
    { class: 'page narrow' },
    heading(t('settings.title')),
    profile,
    card(
      t('settings.key'),
      h('p', { class: 'muted' }, t('settings.keyLead')),
      form({
        fields: [{ name: 'key', label: t('field.productKey'), autocomplete: 'off', spellcheck: 'false', maxlength: 64 }],
        submit: t('settings.keySubmit'),
        onsubmit: async ({ key }) => {
          await app.api.post(`/registration/${encodeURIComponent(key)}/`);
          return t('settings.keyDone');
        },
      }),
    ),
    card(t('settings.language'), languages(app)),
    card(
      t('settings.password'),
      form({
        fields: [
          { name: 'old_password', label: t('field.oldPassword'), type: 'password', autocomplete: 'current-password' },
          {
            name: 'new_password1',
            label: t('field.newPassword'),
            type: 'password',
            autocomplete: 'new-password',
            hint: t('field.passwordHint'),
          },
          { name: 'new_password2', label: t('field.newPassword2'), type: 'password', autocomplete: 'new-password' },
        ],
        submit: t('settings.password'),
        onsubmit: async (values) => {
          await app.api.post('/rest-auth/password/change/', values);
          return t('settings.passwordDone');
        },
      }),
    ),
    card(
      t('settings.session'),
      h('div', { class: 'actions' }, h('button', { type: 'button', class: 'quiet', onclick: app.signOut }, t('settings.signout'))),
    ),
    card(
      t('settings.delete'),
      h('p', { class: 'muted' }, t('settings.deleteLead')),
      h('div', { class: 'actions' }, h('button', { type: 'button', class: 'danger', onclick: () => farewell(app) }, t('settings.delete'))),
    ),
  );
}

const account = (app) => `/accounts/${app.userId}/`;

async function loadProfile(app, page, profile) {
  let me;
  try {
    me = await app.api.get(account(app));
  } catch (error) {
    return app.fail(error);
  }
  if (page.left) return;
  profile.lastChild.replaceWith(
    form({
      fields: [
        { name: 'last_name', label: t('field.lastName'), value: me.last_name, autocomplete: 'family-name', half: true },
        { name: 'first_name', label: t('field.firstName'), value: me.first_name, autocomplete: 'given-name', half: true },
      ],
      submit: t('settings.save'),
      keep: true,
      onsubmit: async (values) => {
        await app.api.put(account(app), values);
        return t('settings.saved');
      },
    }),
  );
}

function languages(app) {
  const choice = (code, name) =>
    h(
      'button',
      { type: 'button', lang: code, 'aria-pressed': String(app.language() === code), onclick: () => app.setLanguage(code) },
      name,
    );
  return h('div', { class: 'segmented' }, choice('ko', '한국어'), choice('en', 'English'));
}

function farewell(app) {
  const address = app.session.user?.email;
  dialog(t('settings.delete'), (close) =>
    h(
      'div',
      {},
      h('p', { class: 'muted' }, t('settings.deleteLead')),
      form({
        fields: [{ name: 'email', label: t('settings.deleteConfirm'), type: 'email', autocomplete: 'off' }],
        submit: t('settings.deleteSubmit'),
        look: 'danger',
        extra: [cancel(close)],
        onsubmit: async ({ email }) => {
          if (email.toLowerCase() !== address?.toLowerCase()) {
            throw new ApiError({ code: 'mismatch', errors: [{ field: 'email', detail: t('settings.deleteMismatch') }] });
          }
          await app.api.delete(account(app));
          close();
          app.endSession(t('ended.deleted'));
        },
      }),
    ),
  );
}
