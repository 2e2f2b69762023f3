// A line of a log as pieces: colours by SGR (ECMA-48), links, what was searched for. Other controls are shown, not obeyed.
import { visible } from '../text';

export interface Piece {
  text: string;
  /** Classes: `fg-1` to `fg-6`, `bold`, `dim`, `under`, `mark`. */
  look: string;
  link: string | null;
}

 
const SEQUENCE = /\u001b\[([0-9;:]*)([@-~])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g;
const LINK = /https?:\/\/[^\s<>"'`\\^{}|]+[^\s<>"'`\\^{}|.,;:!?)\]]/g;
/** Longer lines are cut on the screen; the download has them whole. */
export const LONGEST = 4000;

interface Pen {
  color: number;
  bold: boolean;
  dim: boolean;
  under: boolean;
}

/** The nearest of six hues for a colour given in numbers; 0 for greys. */
function hue(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (most - least < 40) return 0;
  const high = (value: number) => value > (most + least) / 2;
  return (high(red) ? 1 : 0) + (high(green) ? 2 : 0) + (high(blue) ? 4 : 0);
}

function palette(index: number): number {
  if (index < 16) return index % 8;
  if (index >= 232) return 0;
  const cube = index - 16;
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  return hue(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function apply(pen: Pen, parameters: string) {
  const codes = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 0) Object.assign(pen, { color: 0, bold: false, dim: false, under: false });
    else if (code === 1) pen.bold = true;
    else if (code === 2) pen.dim = true;
    else if (code === 4) pen.under = true;
    else if (code === 22) Object.assign(pen, { bold: false, dim: false });
    else if (code === 24) pen.under = false;
    else if (code === 39) pen.color = 0;
    else if (code >= 30 && code <= 37) pen.color = code - 30;
    else if (code >= 90 && code <= 97) pen.color = code - 90;
    else if (code === 38 || code === 48) {
      const color = codes[at + 1] === 5 ? palette(codes[at + 2] ?? 0) : codes[at + 1] === 2 ? hue(codes[at + 2] ?? 0, codes[at + 3] ?? 0, codes[at + 4] ?? 0) : 0;
      if (code === 38) pen.color = color;
      at += codes[at + 1] === 5 ? 2 : codes[at + 1] === 2 ? 4 : 0;
    }
  }
}

const lookOf = (pen: Pen): string =>
  [pen.color > 0 && pen.color < 7 ? `fg-${pen.color}` : '', pen.bold ? 'bold' : '', pen.dim ? 'dim' : '', pen.under ? 'under' : ''].filter(Boolean).join(' ');

/** The line's text alone, as one would copy it. */
export const plain = (line: string): string => visible(line.replaceAll(SEQUENCE, ''));

export function pieces(line: string, search = ''): Piece[] {
  const text = line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
  const found: Piece[] = [];
  const pen: Pen = { color: 0, bold: false, dim: false, under: false };
  let from = 0;
  const take = (until: number) => {
    if (until > from) found.push(...linked(visible(text.slice(from, until)), lookOf(pen)));
  };
  for (const sequence of text.matchAll(SEQUENCE)) {
    take(sequence.index);
    from = sequence.index + sequence[0].length;
    if (sequence[2] === 'm') apply(pen, sequence[1] || '0');
  }
  take(text.length);
  return search ? found.flatMap((piece) => marked(piece, search)) : found;
}

function linked(text: string, look: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const link of text.matchAll(LINK)) {
    if (link.index > from) found.push({ text: text.slice(from, link.index), look, link: null });
    found.push({ text: link[0], look, link: link[0] });
    from = link.index + link[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), look, link: null });
  return found;
}

function marked(piece: Piece, search: string): Piece[] {
  const found: Piece[] = [];
  const [low, wanted] = [piece.text.toLowerCase(), search.toLowerCase()];
  let from = 0;
  for (;;) {
    const at = low.indexOf(wanted, from);
    if (at < 0) break;
    if (at > from) found.push({ ...piece, text: piece.text.slice(from, at) });
    found.push({ ...piece, text: piece.text.slice(at, at + wanted.length), look: `${piece.look} mark`.trim() });
    from = at + wanted.length;
  }
  if (from < piece.text.length) found.push({ ...piece, text: piece.text.slice(from) });
  return found;
}
