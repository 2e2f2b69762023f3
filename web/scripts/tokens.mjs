// The design tokens: one source for both themes, and the gate that keeps them readable.
// `--write` writes src/tokens.css; without it the file must be what this would write, and every pair above its floor.
import fs from 'node:fs';

const dark = {
  'bg-0': '#05080F', 'bg-1': '#090E18', 'bg-2': '#0E1524', 'bg-3': '#141D30', 'bg-4': '#1B2740', 'bg-hit': '#2A2206',
  'bg-sel': '#0F2638', 'tint-ok': '#0A2420', 'tint-wait': '#241C0C', 'tint-fail': '#26121A',
  'line-1': '#18223A', 'line-2': '#243350', 'line-3': '#5C749E',
  'text-1': '#E9F0FB', 'text-2': '#AEBDD6', 'text-3': '#8496B5',
  accent: '#5BC3E8', 'accent-strong': '#8FE0FF', 'on-accent': '#03131C', aether: '#A99CFF', 'on-aether': '#0E0A2A',
  ok: '#36EFBA', run: '#58BADC', wait: '#FDC13E', fail: '#F4655F', queue: '#8893A8', block: '#A283F7', skip: '#8490AB',
  'rank-e': '#A4B2C6', 'rank-d': '#4596F5', 'rank-c': '#7FE3AC', 'rank-b': '#F8EC5C', 'rank-a': '#EE9A45', 'rank-s': '#FF4F9E',
};
const light = {
  'bg-0': '#E6ECF4', 'bg-1': '#F1F5FA', 'bg-2': '#FFFFFF', 'bg-3': '#F6F9FC', 'bg-4': '#E9F0F9', 'bg-hit': '#FFF4CF',
  'bg-sel': '#E0F0FC', 'tint-ok': '#E8F7F1', 'tint-wait': '#FFF6E2', 'tint-fail': '#FDF0F0',
  'line-1': '#E1E8F1', 'line-2': '#CBD6E5', 'line-3': '#70839F',
  'text-1': '#0C1626', 'text-2': '#3D4D66', 'text-3': '#586A85',
  accent: '#005F99', 'accent-strong': '#00466F', 'on-accent': '#FFFFFF', aether: '#5A45C9', 'on-aether': '#FFFFFF',
  ok: '#00785A', run: '#00528A', wait: '#935C00', fail: '#8F0A18', queue: '#414A5A', block: '#7648DD', skip: '#5E6C84',
  'rank-e': '#5E6A7E', 'rank-d': '#136EA8', 'rank-c': '#155F49', 'rank-b': '#7F6A00', 'rank-a': '#8B3011', 'rank-s': '#8A0F73',
};
const darkEffects = {
  'shadow-pop': '0 0 0 1px #0006, 0 12px 32px -8px #000c, 0 2px 6px #0008',
  'glow-run': '0 0 0 1px #5CD2F766, 0 0 18px -4px #5CD2F799',
};
const lightEffects = {
  'shadow-pop': '0 0 0 1px #0c162614, 0 12px 32px -10px #0c162640, 0 2px 6px #0c162614',
  'glow-run': '0 0 0 1px #00668F55',
};
const SURFACES = ['bg-1', 'bg-2', 'bg-3', 'bg-4', 'bg-hit', 'bg-sel', 'tint-ok', 'tint-wait', 'tint-fail'];

const linear = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
const luminance = (hex) => {
  const [r, g, b] = [1, 3, 5].map((at) => linear(parseInt(hex.slice(at, at + 2), 16) / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
/** WCAG 2.2 contrast ratio. */
export const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

/** Colours that stand on surfaces, and how strong they must be there. */
function floors(theme) {
  const inks = Object.keys(theme).filter((name) => !/^(bg|tint|on)-|^line-[12]$/.test(name));
  const pairs = SURFACES.flatMap((surface) =>
    inks
      // Skipped work is never shown on a selected row.
      .filter((ink) => !(ink === 'skip' && surface === 'bg-4'))
      .map((ink) => [ink, surface, ink === 'line-3' ? 3 : 4.5]));
  return [...pairs, ['on-accent', 'accent', 4.5], ['on-aether', 'aether', 4.5]];
}

const low = [];
for (const [name, theme] of [['dark', dark], ['light', light]]) {
  for (const [ink, surface, floor] of floors(theme)) {
    const found = contrast(theme[ink], theme[surface]);
    if (found < floor) low.push(`${name}: ${ink} on ${surface} has ${found.toFixed(2)}, needs ${floor}`);
  }
}

const declarations = (indent, ...groups) =>
  groups.flatMap((group) => Object.entries(group)).map(([name, value]) => `${indent}--${name}: ${value};`).join('\n');
const css = `/* Written by scripts/tokens.mjs; change it there. */
:root, [data-theme='dark'] {
  color-scheme: dark;
${declarations('  ', dark, darkEffects)}
}
[data-theme='light'] {
  color-scheme: light;
${declarations('  ', light, lightEffects)}
}
@media (prefers-color-scheme: light) {
  :root:not([data-theme]) {
    color-scheme: light;
${declarations('    ', light, lightEffects)}
  }
}
:root {
  --font-ui: 'Geist Variable', system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif;
  --font-mono: 'JetBrains Mono Variable', ui-monospace, 'SF Mono', Menlo, Consolas, monospace;
  --font-display: 'Oxanium Variable', var(--font-ui);
  --rail: 216px; --topbar: 48px; --row: 32px; --row-touch: 44px;
  --t-micro: 90ms; --t-ui: 140ms; --t-panel: 220ms;
  --ease-out: cubic-bezier(.2, .8, .2, 1);
  --z-nav: 20; --z-pop: 40; --z-modal: 60; --z-toast: 80;
}
@media (prefers-reduced-motion: reduce) { :root { --t-micro: 0ms; --t-ui: 0ms; --t-panel: 0ms; } }
`;

const file = new URL('../src/tokens.css', import.meta.url);
if (process.argv.includes('--write')) fs.writeFileSync(file, css);
else if (fs.readFileSync(file, 'utf8') !== css) low.push('src/tokens.css is not what scripts/tokens.mjs writes: run it with --write');
if (low.length > 0) {
  console.error(low.join('\n'));
  process.exit(1);
}
console.log(`tokens: ${2 * floors(dark).length} pairs above their floors`);
