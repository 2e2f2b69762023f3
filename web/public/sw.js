// Runs beside the pages: shows them when the coordinator is out of reach, and tells of approvals and alerts while none is
// open. It keeps pages and their files, never anything from the API, and is told ids and ranks, never words.
const SHELL = '/organism';
const CACHE = 'nexusmon-shell';
const ID = /^(apr|agt|tsk|psh|mis|rev|trg)_[0-9a-z]{26}$/;

async function keepShell() {
  const cache = await caches.open(CACHE);
  const page = await fetch(SHELL, { cache: 'no-cache' });
  if (!page.ok || page.redirected) return;
  const files = [...(await page.clone().text()).matchAll(/(?:src|href)="(\/assets\/[\w.-]+)"/g)].map(([, name]) => name);
  // What an older shell needed and this one does not is of no use any more.
  for (const kept of await cache.keys()) await cache.delete(kept);
  await cache.put(SHELL, page);
  await cache.addAll(files);
}

self.addEventListener('install', (event) => {
  event.waitUntil(keepShell().then(() => self.skipWaiting()));
});
self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim());
});

async function page(request) {
  try {
    const answer = await fetch(request);
    // Another shell than the one that is kept: keep it, with its files.
    const kept = await caches.match(SHELL);
    if (answer.ok && kept && answer.headers.get('etag') !== kept.headers.get('etag')) void keepShell();
    return answer;
  } catch (error) {
    const kept = await caches.match(SHELL);
    if (kept) return kept;
    throw error;
  }
}

async function file(request) {
  const kept = await caches.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  // The name of a file changes with its content.
  if (answer.ok) (await caches.open(CACHE)).put(request, answer.clone());
  return answer;
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== self.location.origin) return;
  if (request.mode === 'navigate') {
    if (pathname === SHELL || pathname.startsWith(`${SHELL}/`)) event.respondWith(page(request));
  } else if (pathname.startsWith('/assets/')) event.respondWith(file(request));
});

/** What a message says, and where a click leads. */
function about(id, rank) {
  if (id.startsWith('apr_')) return [rank ? `An approval of rank ${rank} waits` : 'An approval waits', `${SHELL}/approve/${id}`];
  if (id.startsWith('mis_')) return [rank ? `A mission of rank ${rank} needs a look` : 'A mission needs a look', `${SHELL}/missions/${id}`];
  if (id.startsWith('rev_')) return ['A review waits', `${SHELL}/reviews`];
  if (id.startsWith('trg_')) return ['A schedule or webhook was paused', `${SHELL}/schedules`];
  if (id.startsWith('psh_')) return ['Messages arrive here', `${SHELL}/settings`];
  return [rank ? `An alert about work of rank ${rank}` : 'An alert', id.startsWith('agt_') ? `${SHELL}/agents/${id}` : `${SHELL}/audit?action=alert.raised`];
}

async function tell(data) {
  let said = {};
  try {
    said = data?.json() ?? {};
  } catch {
    // Told as something unknown: a browser that shows nothing for a message loses the right to get any.
  }
  const id = ID.test(said.id) ? said.id : '';
  const [what, to] = id ? about(id, /^[EDCBAS]$/.test(said.rank) ? said.rank : '') : ['Something needs you', SHELL];
  const title = Number.isSafeInteger(said.more) && said.more > 0 ? `${what}, and ${said.more} more` : what;
  await self.registration.showNotification(title, { body: 'Open the console to see what it is about.', tag: id || 'nexusmon', data: to });
  const shown = await self.registration.getNotifications();
  await self.navigator.setAppBadge?.(shown.length).catch(() => undefined);
}

self.addEventListener('push', (event) => event.waitUntil(tell(event.data)));
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const to = event.notification.data;
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
    const here = open.find((client) => new URL(client.url).pathname.startsWith(SHELL));
    if (!here) return self.clients.openWindow(to);
    await here.focus();
    return here.navigate(to);
  })());
});
