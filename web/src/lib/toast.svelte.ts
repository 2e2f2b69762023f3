// Short messages about what was just done, read out by screen readers.
export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

class Toasts {
  all = $state<Toast[]>([]);
  #next = 0;

  say(text: string, bad = false) {
    const id = this.#next++;
    this.all = [...this.all.slice(-3), { id, text, bad }];
    setTimeout(() => this.drop(id), bad ? 12_000 : 5000);
  }

  drop(id: number) {
    this.all = this.all.filter((each) => each.id !== id);
  }
}

export const toasts = new Toasts();
