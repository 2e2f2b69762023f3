// The console: log in, then one view by the address's fragment, refreshed when something changes.
import { Refused, get, post } from './api.js';
import { element, panel } from './dom.js';
import * as live from './live.js';
import { mission } from './mission.js';
import { overview } from './overview.js';

const view = document.getElementById('view');
const liveBadge = document.getElementById('live');
const logout = document.getElementById('logout');

let leave = null;

/** Shows the view of the address. A view gives `{node, changed, leave}`. */
async function show() {
  leave?.();
  leave = null;
  const match = /^#\/missions\/(mis_[0-9a-z]{26})$/.exec(location.hash);
  try {
    const shown = match ? await mission(match[1]) : await overview();
    view.replaceChildren(shown.node);
    leave = shown.leave;
    live.open(shown.changed, line);
    logout.hidden = false;
  } catch (error) {
    if (error instanceof Refused && error.status === 401) askForKey();
    else view.replaceChildren(panel('That did not work', null, element('p', { class: 'error', role: 'alert' }, error.message),
      element('p', {}, element('a', { href: '#/' }, 'Back to the overview'))));
  }
}

function line(state) {
  liveBadge.hidden = false;
  liveBadge.dataset.state = state;
  liveBadge.textContent = state.toUpperCase();
  // A line that stays broken may mean that the session is over.
  if (state === 'resync') get('/v1/auth/me').catch((error) => error.status === 401 && askForKey());
}

function askForKey() {
  live.close();
  liveBadge.hidden = true;
  logout.hidden = true;
  const key = element('input', { type: 'password', name: 'key', autocomplete: 'current-password', required: true });
  const wrong = element('p', { class: 'error', role: 'alert', hidden: true });
  const form = element('form', {
    onsubmit: async (event) => {
      event.preventDefault();
      try {
        await post('/v1/auth/login', { operator_key: key.value });
        await show();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
        key.select();
      }
    },
  }, element('label', {}, 'Operator key', key), wrong, element('button', { class: 'primary' }, 'Log in'));
  view.replaceChildren(element('section', { class: 'panel login' }, element('h2', {}, 'Log in'),
    element('p', { class: 'muted' }, 'The key was shown when the coordinator first started.'), form));
  key.focus();
}

logout.addEventListener('click', async () => {
  await post('/v1/auth/logout').catch(() => {});
  askForKey();
});

document.getElementById('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : !matchMedia('(prefers-color-scheme: light)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  localStorage.setItem('theme', root.dataset.theme);
});

const chosen = localStorage.getItem('theme');
if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
addEventListener('hashchange', show);
show();
