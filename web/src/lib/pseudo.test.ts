import { describe, expect, it } from 'vitest';
import { LONGER, pseudo, stretch } from './pseudo';

describe('the pseudo-locale', () => {
  it('is two fifths longer and leaves numbers and signs', () => {
    const text = 'Nothing waits for you. Work of rank A and S does, and whatever a policy holds.';
    const letters = text.replaceAll(/[^A-Za-z]/g, '').length;
    const made = pseudo(text);
    expect(made.length - text.length).toBeGreaterThanOrEqual(Math.floor(letters * LONGER) - 1);
    expect(made).not.toMatch(/[A-Za-z]/);
    expect(pseudo('12 of 40: 3 %')).toMatch(/^12 \S+ 40: 3 %$/);
    expect(pseudo('')).toBe('');
  });
  it('is as many words as before, so that lines break where they did', () => {
    expect(pseudo('Review 1 approval').split(' ')).toHaveLength(3);
  });
  it('turns what is there and what comes, leaves code alone, and gives back what was', async () => {
    const root = document.createElement('div');
    root.innerHTML = '<p>Hello</p><code>id_1</code><p class="mono">abc</p>';
    document.body.append(root);
    const end = stretch(root);
    expect(root.querySelector('p')?.textContent).toBe(pseudo('Hello'));
    expect([root.querySelector('code')?.textContent, root.querySelector('.mono')?.textContent]).toEqual(['id_1', 'abc']);
    const next = document.createElement('b');
    next.textContent = 'more';
    root.append(next);
    (root.querySelector('p')?.firstChild as Text).data = 'Changed';
    await new Promise((resolve) => setTimeout(resolve));
    expect([next.textContent, root.querySelector('p')?.textContent]).toEqual([pseudo('more'), pseudo('Changed')]);
    end();
    expect([next.textContent, root.querySelector('p')?.textContent]).toEqual(['more', 'Changed']);
    root.remove();
  });
});
