// Text, numbers and times as people read them.

/** Characters that reorder or hide what follows become visible: nobody approves what they did not read. */
 
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;
export const visible = (text: string): string => text.replace(UNSEEN, '\ufffd');

/** Names and texts without a bound of their own, cut where no one reads on. */
export function shown(text: string | null | undefined, most = 2000): string {
  if (!text) return '';
  return visible(text.length > most ? `${text.slice(0, most)}…` : text);
}

const numbers = new Intl.NumberFormat('en');
export const count = (value: number): string => numbers.format(value).replaceAll(',', '\u202f');

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = size / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `0:41`, `18:42`, `2 h 05`, `3 d 4 h`; below ten seconds with a tenth. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, seconds);
  if (whole < 1) return `${Math.round(whole * 1000)} ms`;
  if (whole < 10) return `${whole.toFixed(1)} s`;
  const at = Math.floor(whole);
  const two = (value: number) => String(value).padStart(2, '0');
  if (at < 3600) return `${Math.floor(at / 60)}:${two(at % 60)}`;
  if (at < 86_400) return `${Math.floor(at / 3600)} h ${two(Math.floor((at % 3600) / 60))}`;
  return `${Math.floor(at / 86_400)} d ${Math.floor((at % 86_400) / 3600)} h`;
}

export const secondsBetween = (from: string, to: string | number): number =>
  (new Date(to).getTime() - new Date(from).getTime()) / 1000;

/** `12 s ago`, `in 3 min`. */
export function ago(time: string, now: number): string {
  const seconds = (new Date(time).getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return 'just now';
  const [amount, unit] =
    size < 60 ? [Math.round(size), 's'] : size < 3600 ? [Math.round(size / 60), 'min'] : size < 86_400 ? [Math.round(size / 3600), 'h'] : [Math.round(size / 86_400), 'd'];
  return seconds < 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });
export const clockTime = (time: string): string => clock.format(new Date(time));
export const fullTime = (time: string): string => full.format(new Date(time));
export const dayTime = (time: string): string => day.format(new Date(time));
/** Today the time, before that the day. */
export function shortTime(time: string, now: number): string {
  const at = new Date(time);
  return at.toDateString() === new Date(now).toDateString() ? clock.format(at).slice(0, 5) : day.format(at);
}
/** A moment that is close by: today the time, else with its day. */
export function nearTime(time: string, now: number): string {
  const at = new Date(time);
  const clocked = clock.format(at).slice(0, 5);
  return at.toDateString() === new Date(now).toDateString() ? clocked : `${day.format(at)}, ${clocked}`;
}
export const millis = (time: string): string => `${clockTime(time)}.${time.slice(20, 23).padEnd(3, '0')}`;

/** As a sentence: what a program says begins small and ends without a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return '';
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…:]["”’`)]?$/.test(begun) ? begun : `${begun}.`;
}
const minutes = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
/** To the minute, where a second would say nothing. */
export const minuteTime = (time: string): string => minutes.format(new Date(time));
const STAMP = /\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:Z| UTC)(?![\w])/;
/** The first moment in a text, as a program writes it, written as this console writes it. */
export const withTimes = (text: string): string => text.replace(STAMP, (whole, date: string, time: string) => {
  const read = `${date}T${time}Z`;
  return Number.isNaN(Date.parse(read)) ? whole : minuteTime(read);
});

/** The head and tail of a digest or id. */
export const short = (text: string, head = 8, tail = 4): string =>
  text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
export const percent = (share: number): string => `${Math.round(share * 100)}\u202f%`;
/** Two places, and two digits of what is less than a cent. */
export const dollars = (amount: number): string => `$${amount > 0 && amount < 0.01 ? Number(amount.toPrecision(2)).toString() : amount.toFixed(2)}`;
export const plural = (amount: number, one: string, many = `${one}s`): string => `${count(amount)} ${amount === 1 ? one : many}`;
/** What is left of a list of names after the first few. */
export function some(names: readonly string[], most = 3): string {
  if (names.length <= most) return names.join(', ');
  return `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
}
