// The API's document as a page: every route by tag, with its parameters, body and answers.
import { Refused, get } from './api.js';
import { element, panel } from './dom.js';

const view = document.getElementById('view');

function typeOf(schema) {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  const one = schema.oneOf ?? schema.anyOf;
  if (one) return one.map(typeOf).join(' | ');
  if (schema.type === 'array') return `${typeOf(schema.items)}[]`;
  return [schema.type].flat().join(' | ');
}

function operation(path, method, about) {
  const content = (holder) => Object.entries(holder?.content ?? {}).map(([kind, { schema }]) => `${kind}: ${typeOf(schema)}`);
  const lines = [
    ...(about.parameters ?? []).map((each) => `${each.in} ${each.name}${each.required ? '' : '?'}: ${typeOf(each.schema)}${each.description ? ` – ${each.description}` : ''}`),
    ...content(about.requestBody).map((each) => `body ${each}`),
    ...Object.entries(about.responses).map(([status, answer]) => `${status} ${content(answer).join(', ')}`),
  ];
  return element('li', {},
    element('span', { class: 'method' }, method.toUpperCase()),
    element('details', { class: 'wide' },
      element('summary', {}, element('span', { class: 'mono' }, path), ` ${about.summary ?? ''}`),
      about.description ? element('p', {}, about.description) : null,
      lines.map((each) => element('div', { class: 'mono' }, each))));
}

try {
  const api = await get('/v1/openapi.json');
  const byTag = new Map(api.tags.map((tag) => [tag.name, { about: tag.description, routes: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete']) {
      if (item[method]) byTag.get(item[method].tags[0]).routes.push(operation(path, method, item[method]));
    }
  }
  view.replaceChildren(
    panel(`${api.info.title} ${api.info.version}`, null, element('p', {}, api.info.description)),
    ...[...byTag].map(([name, { about, routes }]) =>
      panel(name, element('span', { class: 'muted' }, about), element('ul', { class: 'rows' }, routes))));
} catch (error) {
  const hint = error instanceof Refused && error.status === 401
    ? element('p', {}, 'Log in on the ', element('a', { href: '/organism' }, 'console'), ' first, then come back.')
    : element('p', { class: 'error' }, error.message);
  view.replaceChildren(panel('API', null, hint));
}
