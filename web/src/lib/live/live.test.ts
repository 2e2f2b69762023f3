import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Change } from '../types';
import { backoff, Parser, read } from './sse';

describe('the parser of events', () => {
  it('puts together what arrives in pieces', () => {
    const parser = new Parser();
    expect(parser.push('id: 7\nevent: cha')).toEqual([]);
    expect(parser.push('nge\ndata: {"a":\ndata: 1}\n\n')).toEqual([{ event: 'change', id: '7', data: '{"a":\n1}' }]);
  });
  it('tells heartbeats apart', () => {
    expect(new Parser().push(': heartbeat\n\nretry: 2000\n\ndata: x\n\n')).toEqual([null, null, { event: 'message', id: null, data: 'x' }]);
  });
});

describe('reading', () => {
  const body = (...parts: string[]) => new Response(new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  }));
  it('hands on each event until the end', async () => {
    const seen: (string | null)[] = [];
    await read(body('data: 1\n\n: beat\n\nda', 'ta: 2\n\n'), new AbortController().signal, 1000, (sent) => seen.push(sent?.data ?? null));
    expect(seen).toEqual(['1', null, '2']);
  });
  it('gives up on silence', async () => {
    vi.useFakeTimers();
    const silent = new Response(new ReadableStream({}));
    const over = read(silent, new AbortController().signal, 40_000, () => undefined);
    await vi.advanceTimersByTimeAsync(40_001);
    await over;
    vi.useRealTimers();
  });
});

describe('backing off', () => {
  it('grows, is never at once and never longer than half a minute', () => {
    for (let tries = 1; tries < 40; tries++) {
      expect(backoff(tries, () => 0)).toBeGreaterThanOrEqual(250);
      expect(backoff(tries, () => 1)).toBeLessThanOrEqual(30_000);
    }
    expect(backoff(3, () => 0.5)).toBeGreaterThan(backoff(1, () => 0.5));
  });
});

describe('the line', () => {
  const change = (seq: number): string => `id: ${seq}\nevent: change\ndata: ${JSON.stringify({ seq, kind: 'mission.created', actor: 'x', subject_kind: 'mission', subject: 'm', mission: 'm', at: '', body: {} })}\n\n`;
  let asked: (string | null)[];
  let streams: ReadableStreamDefaultController<Uint8Array>[];
  beforeEach(() => {
    vi.resetModules();
    asked = [];
    streams = [];
    vi.stubGlobal('fetch', (_path: string, init: RequestInit) => {
      asked.push(new Headers(init.headers).get('last-event-id'));
      return Promise.resolve(new Response(new ReadableStream({ start: (controller) => void streams.push(controller) })));
    });
  });
  const send = (at: number, text: string) => streams[at]!.enqueue(new TextEncoder().encode(text));

  it('goes on where it broke, tells nothing twice, and has everything looked at again', async () => {
    const { live } = await import('./live.svelte');
    const heard: (number | null)[] = [];
    const ignore = live.listen((each: Change | null) => heard.push(each?.seq ?? null));
    live.start();
    await vi.waitFor(() => expect(streams).toHaveLength(1));
    send(0, change(4) + change(5));
    await vi.waitFor(() => expect(live.seq).toBe(5));
    streams[0]!.close();
    await vi.waitFor(() => expect(streams).toHaveLength(2), { timeout: 5000 });
    expect(asked).toEqual([null, '5']);
    send(1, change(5) + change(6));
    await vi.waitFor(() => expect(live.seq).toBe(6));
    expect(heard).toEqual([null, 4, 5, null, 6]);
    expect(live.state).toBe('live');
    ignore();
    live.end();
  });

  it('begins where what is shown ends: nothing is lost, and nothing is fetched for nothing', async () => {
    const { live } = await import('./live.svelte');
    const heard: (number | null)[] = [];
    const ignore = live.listen((each: Change | null) => heard.push(each?.seq ?? null));
    live.start(3);
    await vi.waitFor(() => expect(streams).toHaveLength(1));
    expect(asked).toEqual(['3']);
    send(0, change(3) + change(4));
    await vi.waitFor(() => expect(live.seq).toBe(4));
    expect(heard).toEqual([4]);
    // Over a break everything is looked at again all the same: not everything that is told has a place.
    streams[0]!.close();
    await vi.waitFor(() => expect(streams).toHaveLength(2), { timeout: 5000 });
    await vi.waitFor(() => expect(heard).toEqual([4, null]));
    ignore();
    live.end();
  });

  it('looks again when another tab is further', async () => {
    const { live } = await import('./live.svelte');
    const other = new BroadcastChannel('nexusmon.events');
    const heard: (number | null)[] = [];
    const ignore = live.listen((each: Change | null) => heard.push(each?.seq ?? null));
    vi.stubGlobal('navigator', { ...navigator, locks: { request: () => new Promise(() => undefined) }, onLine: true });
    live.start(3);
    other.postMessage({ kind: 'state', state: 'live', at: 1, seq: 3 });
    await vi.waitFor(() => expect(live.state).toBe('live'));
    expect(heard).toEqual([]);
    other.postMessage({ kind: 'beat', at: 2, seq: 5 });
    await vi.waitFor(() => expect(heard).toEqual([null]));
    expect(live.seq).toBe(5);
    ignore();
    live.end();
    other.close();
    vi.unstubAllGlobals();
  });
});
