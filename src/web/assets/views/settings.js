/**
 * Settings: names, product key, language, password, this device, and the end of the account.
 */

import { h } from '../dom.js';
import { ApiError } from '../api.js';
import { t } from '../i18n.js';
import { cancel, dialog, form } from '../form.js';
import { THEMES, theme } from '../theme.js';
import { card, heading, segmented, toggle } from './parts.js';

export function settings(app, page) {
  const waiting = () => h('p', { class: 'muted', role: 'status' }, t('app.loading'));
  const profile = card(t('settings.profile'), waiting());
  const privacy = card(t('settings.privacy'), waiting());
  loadProfile(app, page, profile, privacy);

  return h(
    'div',
    { class: 'page narrow' },
    heading(t('settings.title')),
    profile,
    privacy,
    card(t('settings.look'), languages(app), themes()),
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

async function loadProfile(app, page, profile, privacy) {
  let me;
  try {
    me = await app.profile();
  } catch (error) {
    return app.fail(error);
  }
  if (page.left) return;
  profile.lastChild.replaceWith(h('p', { class: 'muted' }, me.email), names(app, me));
  privacy.lastChild.replaceWith(
    toggle(t('settings.listed'), t('settings.listedHint'), !me.hidden, (on) => app.api.put(account(app), { hidden: !on }), app.fail),
    toggle(t('settings.share'), t('settings.shareHint'), me.share_study, (on) => app.api.put(account(app), { share_study: on }), app.fail),
  );
}

function names(app, me) {
  return form({
    fields: [
      { name: 'last_name', label: t('field.lastName'), value: me.last_name, autocomplete: 'family-name', half: true },
      { name: 'first_name', label: t('field.firstName'), value: me.first_name, autocomplete: 'given-name', half: true },
      { name: 'birth_date', label: t('field.birthDate'), type: 'date', value: me.birth_date, autocomplete: 'bday', half: true },
      {
        name: 'gender',
        label: t('field.gender'),
        options: [{ value: '0', label: t('field.male') }, { value: '1', label: t('field.female') }],
        value: String(me.gender),
        half: true,
      },
    ],
    submit: t('settings.save'),
    keep: true,
    onsubmit: async (values) => {
      await app.api.put(account(app), { ...values, gender: Number(values.gender) });
      return t('settings.saved');
    },
  });
}

const LANGUAGES = [{ value: 'ko', text: '한국어', lang: 'ko' }, { value: 'en', text: 'English', lang: 'en' }];

const languages = (app) => segmented(t('settings.language'), LANGUAGES, app.language(), app.setLanguage);

function themes() {
  const options = THEMES.map((value) => ({ value, text: t(`settings.theme.${value}`) }));
  return segmented(t('settings.theme'), options, theme.chosen, (value) => (theme.chosen = value));
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
