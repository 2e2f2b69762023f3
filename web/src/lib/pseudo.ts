// The pseudo-locale: words two fifths longer and with letters beyond ASCII, as other languages have them, so that it shows
// where a layout has room for English only. It works on what is on the page, whoever put it there.

const ACCENTS: Record<string, string> = {
  a: 'à', b: 'ƀ', c: 'ç', d: 'ð', e: 'é', f: 'ƒ', g: 'ĝ', h: 'ĥ', i: 'î', j: 'ĵ', k: 'ķ', l: 'ļ', m: 'ɱ', n: 'ñ', o: 'ö', p: 'þ', q: 'ǫ', r: 'ŕ', s: 'š', t: 'ţ', u: 'û', v: 'ṽ', w: 'ŵ', x: 'ẋ', y: 'ý', z: 'ž',
  A: 'À', B: 'Ɓ', C: 'Ç', D: 'Ð', E: 'É', F: 'Ƒ', G: 'Ĝ', H: 'Ĥ', I: 'Î', J: 'Ĵ', K: 'Ķ', L: 'Ļ', M: 'Ṁ', N: 'Ñ', O: 'Ö', P: 'Þ', Q: 'Ǫ', R: 'Ŕ', S: 'Š', T: 'Ţ', U: 'Û', V: 'Ṽ', W: 'Ŵ', X: 'Ẋ', Y: 'Ý', Z: 'Ž',
};
export const LONGER = 0.4;

/** Longer within its words, as other languages are, and every letter accented. Numbers and signs stay. */
export function pseudo(text: string): string {
  let made = '';
  let owed = 0;
  for (const [at, letter] of [...text].entries()) {
    const accented = ACCENTS[letter];
    if (!accented) {
      made += letter;
      continue;
    }
    made += accented;
    owed += LONGER;
    const ends = !/[A-Za-z]/.test(text[at + 1] ?? '');
    // Where a word ends it is paid up, at least half a letter owed.
    while (owed >= 1 || (ends && owed >= 0.5)) {
      made += accented.toLowerCase();
      owed -= 1;
    }
  }
  return made;
}

/** What people do not read as words: code, ids, keys. And what they type. */
const LEFT = 'script, style, code, pre, kbd, textarea, .mono, [data-plain]';

/** Turns every text beneath `root` into the pseudo-locale, and whatever comes there; the answer ends it. */
export function stretch(root: HTMLElement): () => void {
  const before = new Map<Text, { was: string; is: string }>();
  const turn = (node: Text) => {
    const known = before.get(node);
    if (known?.is === node.data) return;
    if (!/[A-Za-z]/.test(node.data) || node.parentElement?.closest(LEFT)) return;
    const is = pseudo(node.data);
    before.set(node, { was: node.data, is });
    node.data = is;
  };
  const all = (from: Node) => {
    if (from instanceof Text) {
      turn(from);
      return;
    }
    const walker = document.createTreeWalker(from, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) turn(node as Text);
  };
  const watch = new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === 'characterData') turn(change.target as Text);
      else for (const node of change.addedNodes) all(node);
    }
    for (const node of before.keys()) if (!node.isConnected) before.delete(node);
  });
  all(root);
  watch.observe(root, { subtree: true, childList: true, characterData: true });
  return () => {
    watch.disconnect();
    for (const [node, { was, is }] of before) if (node.data === is) node.data = was;
  };
}
