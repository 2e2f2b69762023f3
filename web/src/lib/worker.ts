// The service worker: registered once somebody is in, asked for messages only by who wants them.
import { api, ok } from './api';

interface Policy { createScriptURL(text: string): string }
const factory = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }).trustedTypes;
const SCRIPT = '/sw.js';
/** Under which id the coordinator knows this browser. */
const OWN = 'nexusmon.push';
// The one address there is.
const policy = factory?.createPolicy('nexusmon-service-worker', { createScriptURL: () => SCRIPT });

/** Browsers have one on pages they trust: over HTTPS, or of this machine. */
export const possible = (): boolean => 'serviceWorker' in navigator && window.isSecureContext;

export function register(): void {
  if (!possible()) return;
  // Where it cannot be, the console works without.
  navigator.serviceWorker.register(policy?.createScriptURL(SCRIPT) ?? SCRIPT, { scope: '/organism' }).catch(() => undefined);
}

/** How much waits, on the icon of the installed console. */
export function badge(waiting: number): void {
  const asked = waiting > 0 ? navigator.setAppBadge?.(waiting) : navigator.clearAppBadge?.();
  asked?.catch(() => undefined);
}

const registration = async (): Promise<ServiceWorkerRegistration | undefined> =>
  possible() ? navigator.serviceWorker.getRegistration('/organism') : undefined;

/** Ends what this browser is subscribed with, if it is the one of that id. */
export async function unsubscribe(id: string): Promise<void> {
  if (localStorage.getItem(OWN) !== id) return;
  const here = await (await registration())?.pushManager?.getSubscription();
  await here?.unsubscribe();
  localStorage.removeItem(OWN);
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** Asks the person, then the browser's push service, then tells the coordinator. */
export async function subscribe(name: string, key: string): Promise<void> {
  if ((await Notification.requestPermission()) !== 'granted') throw new Error('The browser was not allowed to show messages: allow them for this page, then try again.');
  await navigator.serviceWorker.ready;
  const found = await registration();
  if (!found) throw new Error('This browser runs nothing in the background for this page.');
  const made = await found.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
  const { endpoint, keys } = made.toJSON();
  try {
    const { id } = await ok(api.POST('/v1/me/push-subscriptions', { body: { name, endpoint: endpoint ?? '', keys: { p256dh: keys?.p256dh ?? '', auth: keys?.auth ?? '' } } }));
    localStorage.setItem(OWN, id);
  } catch (error) {
    await made.unsubscribe().catch(() => false);
    localStorage.removeItem(OWN);
    throw error;
  }
}
