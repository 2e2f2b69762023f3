import { describe, expect, it } from 'vitest';
import { part } from './companion.svelte';

describe('a part of an answer', () => {
  it('is text and links into the console, and nothing else', () => {
    const cite = (href: string) => ({ kind: 'mission', id: 'mis_1', title: '<img src=x>', href });
    const found = part(JSON.stringify({ text: 'hello', citations: [cite('/organism/missions/mis_1?task=tsk_2'), cite('javascript:alert(1)'), cite('//evil.example/'), cite('/organism/../v1/x'), 7, null], draft: null }));
    expect(found?.citations.map((each) => each.href)).toEqual(['/organism/missions/mis_1?task=tsk_2']);
    expect(found?.text).toBe('hello');
  });
  it('that cannot be read is none', () => {
    expect(part('{')).toBeNull();
    expect(part('null')).toBeNull();
    expect(part('{"text": 7}')).toEqual({ text: '', citations: [], draft: null });
  });
});
