// The keyboard: one table of commands, their keys (which a person may change or switch off), and one listener.

import { untrack } from 'svelte';

export interface Command {
  id: string;
  title: string;
  group: string;
  /** One key, or two in a row: `g m`. */
  keys: string;
  act: () => void;
}

const KEY = 'nexusmon.keys';
interface Kept {
  off: boolean;
  changed: Record<string, string>;
}

function kept(): Kept {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Kept>;
    return { off: found.off === true, changed: typeof found.changed === 'object' && found.changed !== null ? found.changed : {} };
  } catch {
    return { off: false, changed: {} };
  }
}

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

class Keys {
  #kept = $state(kept());
  commands = $state.raw<Command[]>([]);
  #first = '';
  #timer = 0;

  get off(): boolean {
    return this.#kept.off;
  }

  /** Adds commands for as long as a screen is there. */
  add(commands: Command[]): () => void {
    // Whoever adds some, in an effect, does not wait for others.
    untrack(() => {
      this.commands = [...this.commands.filter((old) => !commands.some((each) => each.id === old.id)), ...commands];
    });
    return () => {
      this.commands = this.commands.filter((each) => !commands.includes(each));
    };
  }

  of(command: Command): string {
    return this.#kept.changed[command.id] ?? command.keys;
  }

  /** Gives a command other keys; none give it its own again. */
  change(id: string, keys: string | null) {
    const changed = { ...this.#kept.changed };
    if (keys) changed[id] = keys;
    else delete changed[id];
    this.#keep({ ...this.#kept, changed });
  }

  turn(off: boolean) {
    this.#keep({ ...this.#kept, off });
  }

  #keep(next: Kept) {
    this.#kept = next;
    localStorage.setItem(KEY, JSON.stringify(next));
  }

  listen = (event: KeyboardEvent) => {
    if (this.off || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
    // A dialog has its own keys.
    if (document.querySelector('[role="dialog"], [role="alertdialog"], [role="menu"]')) return;
    const pressed = event.key.length === 1 ? (event.shiftKey && /[A-Za-z]/.test(event.key) ? `shift+${event.key.toLowerCase()}` : event.key.toLowerCase()) : event.key;
    const whole = this.#first ? `${this.#first} ${pressed}` : pressed;
    const known = this.commands.map((command) => [this.of(command), command] as const);
    const found = known.find(([keys]) => keys === whole);
    clearTimeout(this.#timer);
    this.#first = '';
    if (found) {
      event.preventDefault();
      found[1].act();
    } else if (known.some(([keys]) => keys.startsWith(`${pressed} `))) {
      this.#first = pressed;
      this.#timer = window.setTimeout(() => (this.#first = ''), 1200);
    }
  };
}

export const keys = new Keys();
