/**
 * The door for those who are not signed in: sign in, sign up, a forgotten password or e-mail, and
 * the new password that the mailed link leads to.
 */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { form } from '../form.js';
import { icon } from './parts.js';
import { scene } from './scene.js';

const email = () => ({ name: 'email', label: t('field.email'), type: 'email', autocomplete: 'username' });
const newPasswords = (first, second, labels) => [
  { name: first, label: t(labels[0]), type: 'password', autocomplete: 'new-password', hint: t('field.passwordHint') },
  { name: second, label: t(labels[1]), type: 'password', autocomplete: 'new-password' },
];

const PROMISES = [['people', 'app.promise.people'], ['bell', 'app.promise.bell'], ['chart', 'app.promise.chart']];

export function signin(app) {
  return porch(
    t('signin.title'),
    form({
      fields: [email(), { name: 'password', label: t('field.password'), type: 'password', autocomplete: 'current-password' }],
      submit: t('signin.submit'),
      keep: true,
      onsubmit: async (values) => app.signIn(await app.api.post('/rest-auth/login/', values)),
    }),
    links(['#/signup', 'signin.toSignup'], ['#/forgot', 'signin.toForgot']),
  );
}

export function signup(app) {
  return porch(
    t('signup.title'),
    form({
      fields: [
        email(),
        ...newPasswords('password1', 'password2', ['field.password', 'field.password2']),
        { name: 'last_name', label: t('field.lastName'), autocomplete: 'family-name', half: true },
        { name: 'first_name', label: t('field.firstName'), autocomplete: 'given-name', half: true },
        { name: 'birth_date', label: t('field.birthDate'), type: 'date', autocomplete: 'bday', half: true },
        {
          name: 'gender',
          label: t('field.gender'),
          options: [{ value: '0', label: t('field.male') }, { value: '1', label: t('field.female') }],
          half: true,
        },
      ],
      submit: t('signup.submit'),
      keep: true,
      onsubmit: async (values) =>
        app.signIn(await app.api.post('/rest-auth/signup/', { ...values, gender: Number(values.gender) })),
    }),
    links(['#/signin', 'signup.toSignin']),
  );
}

export function forgot(app) {
  return porch(
    t('forgot.title'),
    h('p', { class: 'muted' }, t('forgot.lead')),
    form({
      fields: [email()],
      submit: t('forgot.submit'),
      onsubmit: async (values) => (await app.api.post('/rest-auth/password/reset/', values)).detail,
    }),
    h('h2', {}, t('forgot.emailTitle')),
    h('p', { class: 'muted' }, t('forgot.emailLead')),
    form({
      fields: [{ name: 'key', label: t('field.productKey'), autocomplete: 'off', spellcheck: 'false' }],
      submit: t('forgot.emailSubmit'),
      onsubmit: async ({ key }) => {
        const found = await app.api.post(`/accounts/find/${encodeURIComponent(key)}/`);
        return t('forgot.emailFound', found);
      },
    }),
    links(['#/signin', 'forgot.toSignin']),
  );
}

export function reset(app, { params }) {
  const { uid, token } = params;
  if (!uid || !token) {
    return porch(t('reset.title'), h('p', {}, t('reset.broken')), links(['#/forgot', 'forgot.title']));
  }
  return porch(
    t('reset.title'),
    form({
      fields: newPasswords('new_password1', 'new_password2', ['field.newPassword', 'field.newPassword2']),
      submit: t('reset.submit'),
      onsubmit: async (values) => {
        const { detail } = await app.api.post('/rest-auth/password/reset/confirm/', { uid, token, ...values });
        app.notify(detail);
        app.navigate('#/signin');
      },
    }),
    links(['#/signin', 'forgot.toSignin']),
  );
}

function porch(title, ...content) {
  return h(
    'div',
    { class: 'porch' },
    h('div', { class: 'porch-scene' }, scene(), h('p', { class: 'tagline' }, t('app.tagline'))),
    h('div', { class: 'porch-door' }, h('h1', { tabindex: '-1' }, title), ...content),
    h('ul', { class: 'promises' }, PROMISES.map(([drawn, key]) => h('li', {}, icon(drawn), t(key)))),
  );
}

function links(...pairs) {
  return h('p', { class: 'links' }, pairs.map(([href, key]) => h('a', { href }, t(key))));
}
