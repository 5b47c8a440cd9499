/**
 * Forms and dialogs: a label for each field, the server's sentence beside the field it is about
 * (`errors[].field`), everything else above the button, focus on the first thing to put right.
 */

import { h, say } from './dom.js';
import { t } from './i18n.js';
import { sentence } from './sentences.js';

let serial = 0;

/**
 * @param {{fields: object[], submit: string, look?: string, inline?: boolean, keep?: boolean,
 *          onsubmit: (values: object) => Promise<?string>, oninput?: (values: object) => void,
 *          extra?: Node[]}} options
 *   What `onsubmit` resolves to, if a string, is shown as success; what it throws, as failure.
 *   The fields are emptied after a success, unless `keep`.
 */
export function form({ fields, submit, look = 'primary', inline, keep, onsubmit, oninput, extra = [] }) {
  const built = fields.map(field);
  const general = h('p', { class: 'form-message', role: 'alert' });
  const button = h('button', { type: 'submit', class: look }, submit);
  const values = () => Object.fromEntries(built.map(({ name, read }) => [name, read()]));

  const element = h(
    'form',
    {
      class: inline ? 'form inline' : 'form',
      novalidate: true,
      oninput: () => oninput?.(values()),
      onsubmit: async (event) => {
        event.preventDefault();
        if (button.disabled) return;
        built.forEach(({ complain }) => complain(''));
        say(general, '');
        general.classList.remove('good');
        const missing = built.filter(({ required, read }) => required && read() === '');
        missing.forEach(({ complain }) => complain(t('form.required')));
        if (missing.length) return missing[0].focus();

        button.disabled = true;
        try {
          const success = await onsubmit(values());
          if (!keep) element.reset();
          general.classList.add('good');
          say(general, success ?? '');
        } catch (error) {
          show(error);
        } finally {
          button.disabled = false;
        }
      },
    },
    built.map(({ element }) => element),
    general,
    h('div', { class: 'actions' }, button, extra),
  );

  function show(error) {
    const left = [];
    for (const { field: name, detail } of error.errors ?? []) {
      const target = built.find((one) => one.name === name);
      if (target) target.complain([target.complaint(), detail].filter(Boolean).join(' '));
      else left.push(detail);
    }
    const atFields = built.filter(({ complaint }) => complaint());
    if (!atFields.length || left.length) say(general, left.filter(Boolean).join(' ') || sentence(error));
    (atFields[0] ?? built[0])?.focus();
  }

  return element;
}

function field({ name, label, hint, options, half, value = '', required = true, ...input }) {
  const id = `field-${++serial}`;
  const error = h('p', { class: 'field-error', id: `${id}-error` });
  const hintLine = hint && h('p', { class: 'hint', id: `${id}-hint` }, hint);
  const describedby = hint ? `${id}-error ${id}-hint` : `${id}-error`;
  const control = options
    ? choices(id, name, options, value)
    : h('input', { id, name, type: 'text', value, required, 'aria-describedby': describedby, ...input });
  const inputs = options ? [...control.querySelectorAll('input')] : [control];

  return {
    name,
    required,
    element: h(
      'div',
      { class: half ? 'field half' : 'field', ...(options && { role: 'radiogroup', 'aria-labelledby': `${id}-label` }) },
      options ? h('span', { class: 'label', id: `${id}-label` }, label) : h('label', { class: 'label', for: id }, label),
      control,
      error,
      hintLine,
    ),
    read() {
      if (options) return inputs.find(({ checked }) => checked)?.value ?? '';
      return input.type === 'password' ? control.value : control.value.trim();
    },
    focus: () => inputs[0].focus(),
    complaint: () => error.textContent,
    complain(text) {
      say(error, text);
      inputs.forEach((one) => (text ? one.setAttribute('aria-invalid', 'true') : one.removeAttribute('aria-invalid')));
    },
  };
}

function choices(id, name, options, value) {
  return h(
    'div',
    { class: 'choices' },
    options.map((option) =>
      h(
        'label',
        { class: 'choice' },
        h('input', {
          type: 'radio',
          name,
          value: option.value,
          checked: option.value === value,
          'aria-describedby': `${id}-error`,
        }),
        option.label,
      ),
    ),
  );
}

/** A modal dialog around some content; resolves when it closes. `content(close)` makes it. */
export function dialog(title, content) {
  return new Promise((resolve) => {
    let result;
    const id = `dialog-${++serial}`;
    const close = (value) => {
      result = value;
      element.close();
    };
    const element = h(
      'dialog',
      {
        'aria-labelledby': id,
        onclose: () => {
          element.remove();
          resolve(result);
        },
      },
      h('h2', { id }, title),
      content(close),
    );
    document.body.append(element);
    element.showModal();
  });
}

/** A yes or no. */
export function confirm({ title, body, action, danger }) {
  return dialog(title, (close) =>
    h(
      'div',
      { class: 'form' },
      body && h('p', { class: 'muted' }, body),
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'button', class: danger ? 'danger' : 'primary', onclick: () => close(true) }, action),
        cancel(close),
      ),
    ),
  );
}

export const cancel = (close) =>
  h('button', { type: 'button', class: 'quiet', onclick: () => close() }, t('app.cancel'));
