// Building elements. Text from outside only ever becomes text nodes, never markup.

/** Characters that reorder or hide what follows become visible: nobody approves what they did not read. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g;
const visible = (child) => (typeof child === 'string' ? child.replace(UNSEEN, '\ufffd') : child);

/** Makes an element: properties by name (`class`, `data-…`, `on…` listeners), then children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? '' : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined).map(visible));
  return made;
}

export const badge = (state) => element('span', { class: 'badge', 'data-state': state }, state.replaceAll('_', ' '));

export const rank = (letter) =>
  element('span', { class: 'rank', 'data-rank': letter, title: `rank ${letter}` }, letter ?? '·');

export const panel = (title, aside, ...children) =>
  element('section', { class: 'panel' }, element('header', {}, element('h2', {}, title), aside), ...children);

export const facts = (pairs) =>
  element('dl', { class: 'facts' },
    pairs.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, String(value ?? '–')))));

export const rows = (items, row, empty) =>
  items.length === 0 ? element('p', { class: 'muted' }, empty) : element('ul', { class: 'rows' }, items.map(row));

export const button = (label, kind, act) => {
  const made = element('button', { type: 'button', class: kind }, label);
  made.addEventListener('click', async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      made.after(element('p', { class: 'error', role: 'alert' }, error.message));
    } finally {
      made.disabled = false;
    }
  });
  return made;
};

export const when = (time) => (time ? new Date(time).toLocaleString() : '–');
