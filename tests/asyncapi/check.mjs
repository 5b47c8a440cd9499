// Whether AsyncAPI's own parser takes the socket's document, and whether every golden message is what its schema says.
// `.ci/asyncapi` brings the parser, and names the folder in which it is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.argv[2]}/`);
const { Parser } = require('@asyncapi/parser');
const Ajv = require('ajv');
const addFormats = require('ajv-formats');

const text = readFileSync('src/web/docs/asyncapi.json', 'utf8');
const { document, diagnostics } = await new Parser().parse(text);
// 0 is a mistake, 1 a warning; what is less is advice.
const complaints = diagnostics.filter(({ severity }) => severity <= 1);
assert.deepEqual(complaints.map(({ path, message }) => `${path.join('.')}: ${message}`), []);
assert(document, 'nothing was read');

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
for (const width of ['int32', 'int64', 'uint8', 'uint32', 'uint64']) ajv.addFormat(width, true);
ajv.addSchema(JSON.parse(text), 'document');
const { messages } = JSON.parse(text).components;

/** Messages of the page of examples, by name. */
function* examples(page) {
  for (const section of page.split(/^### /m).slice(1)) {
    const name = section.slice(0, section.indexOf('\n'));
    const said = /```text\n([^]*?)```/.exec(section)[1].split(/^(?=[→←] )/m);
    const names = said.length === 2 ? [`op.${name}`, `ok.${name}`] : [name];
    for (const [index, one] of names.entries()) yield [one, JSON.parse(said[index].slice(2))];
  }
}

const seen = new Set();
for (const [name, example] of examples(readFileSync('src/web/docs/messages.md', 'utf8'))) {
  const validate = ajv.compile({ $ref: `document#/components/messages/${name}/payload` });
  assert(validate(example), `${name}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(example)}`);
  seen.add(name);
}
assert.deepEqual([...seen].sort(), Object.keys(messages).sort());
console.log(`The document is valid, and so are examples of ${seen.size} messages.`);
