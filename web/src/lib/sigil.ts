// The form of a stage: a mirror-symmetric emblem of bevelled frames and blades, a pure function of stage and seed.

type Point = [number, number];
export interface Form {
  thin: string;
  main: string;
  wings: string;
  solid: string;
  crown: string;
  fill: string;
}
export const STAGES = ['dormant', 'awakening', 'forging', 'sovereign', 'apex'] as const;
export type StageName = (typeof STAGES)[number];

/** A small seeded generator (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A seed from an id. */
export const seedOf = (id: string): number => [...id].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7);

const line = (points: Point[], close = false) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}${close ? 'Z' : ''}`;
const mirrored = (points: Point[]): Point[] => points.map(([x, y]) => [100 - x, y]);
const pair = (points: Point[], close = false) => line(points, close) + line(mirrored(points), close);
const diamond = (x: number, y: number, radius: number, tall = 1) => line([[x, y - radius * tall], [x + radius, y], [x, y + radius * tall], [x - radius, y]], true);
const body = (width: number, top: number, bottom: number) =>
  line([[50, top], [50 + width, top + 9], [50 + width, bottom - 13.5], [50, bottom], [50 - width, bottom - 13.5], [50 - width, top + 9]], true);
const octagon = (radius: number) => {
  const cut = radius * 0.42;
  return line([[50 - cut, 50 - radius], [50 + cut, 50 - radius], [50 + radius, 50 - cut], [50 + radius, 50 + cut], [50 + cut, 50 + radius], [50 - cut, 50 + radius], [50 - radius, 50 + cut], [50 - radius, 50 - cut]], true);
};
const BLADES: Point[][] = [
  [[0, -0.25], [0.5, -1], [1, -0.1], [0.62, 0.55], [0.1, 1]],
  [[0, -0.4], [0.34, -0.95], [0.98, -0.95], [0.72, 0.1], [0.4, 0.5], [0.06, 0.8]],
  [[0, -0.3], [0.72, -0.8], [0.98, -0.1], [0.9, 0.5], [0.5, 0.2], [0.12, 0.9]],
];
const CRESTS: Point[][] = [[[54, 31], [58, 22], [66, 16], [66, 9]], [[55, 32], [62, 24], [62, 14], [57, 8]], [[54, 31], [57, 20], [69, 13]]];
const TAILS: Point[][] = [[[53, 76], [57, 82], [57, 90]], [[53, 76], [53, 84], [59, 92]], [[54, 75], [61, 82], [61, 88]]];

export function form(stage: StageName, seed: number): Form {
  const random = generator(seed);
  const vary = (most: number) => (random() - 0.5) * 2 * most;
  const pick = <T>(from: T[]): T => from[Math.floor(random() * from.length)] as T;
  const [turn, stretch, thick] = [vary(7), 1 + vary(0.07), 1 + vary(0.3)];
  const [shape, crest, tail, girth] = [pick(BLADES), pick(CRESTS), pick(TAILS), vary(1.6)];
  const blade = (x: number, y: number, degrees: number, length: number, width: number) => {
    const angle = ((degrees + turn) * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    return pair(shape.map(([along, across]): Point => {
      const [u, v] = [along * length * stretch, across * width * thick];
      return [x + cos * u - sin * v, y + sin * u + cos * v];
    }), true);
  };
  const made: Form = { thin: '', main: '', wings: '', solid: '', crown: '', fill: '' };
  const wings = (all: [number, number, number, number, number][]) => {
    for (const each of all) made.wings += blade(...each);
  };

  if (stage === 'dormant') {
    made.main = line([[42, 28], [58, 28], [67, 41], [67, 60], [58, 74], [42, 74], [33, 60], [33, 41]], true);
    made.thin = line([[44, 33], [56, 33], [62, 42.5], [62, 58.5], [56, 69], [44, 69], [38, 58.5], [38, 42.5]], true);
    made.solid = diamond(50, 52, 3.6, 1.3);
    return made;
  }
  if (stage === 'awakening') {
    made.main = line([[32, 44], [32, 38], [41, 24], [59, 24], [68, 38], [68, 44], [59, 40], [54, 44], [46, 40], [40, 44], [32, 44]], true)
      + line([[32, 58], [40, 56], [46, 60], [54, 56], [60, 60], [68, 58], [68, 64], [59, 78], [41, 78], [32, 64]], true);
    made.solid = diamond(50, 50.5, 5, 1.4) + diamond(80, 50, 1.8) + diamond(20, 50, 1.8);
    made.thin = pair([[74, 50], [84, 50]]);
    return made;
  }
  const young = stage === 'forging';
  made.main = body((young ? 12 : 11) + girth, young ? 34 : 32, young ? 74 : 73);
  made.solid = diamond(50, 49, stage === 'apex' ? 5.6 : 4.8, 1.5);
  made.thin = pair([[56, 60], [56, 64], [50, 69]]);
  if (young) {
    wings([[65, 46, -22, 19, 6]]);
    made.main += `${pair([[54, 33], [59, 24], [59, 18]])}M50 77V86`;
    made.solid += diamond(50, 88, 2);
    return made;
  }
  made.main += pair(crest) + pair(tail);
  if (stage === 'sovereign') {
    wings([[63, 38, -50, 33, 7], [63, 45, -17, 34, 7], [63, 55, 16, 27, 6]]);
    made.main += line([[46, 27], [50, 17], [54, 27]]);
    made.thin += octagon(46);
    made.solid += diamond(50, 86, 2.4, 2) + diamond(50, 12, 1.8);
  } else {
    wings([[62.5, 35, -63, 36, 6.5], [62.5, 41, -35, 38, 7.5], [62.5, 48, -8, 36, 7], [62.5, 56, 20, 29, 6]]);
    made.crown = line([[42, 28], [44, 16], [47.5, 23], [50, 9], [52.5, 23], [56, 16], [58, 28]]) + diamond(50, 49, 9, 1.4) + line([[47, 77], [50, 98], [53, 77]]);
    made.thin += octagon(49) + octagon(46.5);
    made.solid += pair([[71, 80], [74, 76], [77, 80], [74, 84]], true) + diamond(50, 4.5, 1.8);
  }
  made.fill = made.wings;
  return made;
}
