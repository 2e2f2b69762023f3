// Dark, light, or as the system has it.
export type Choice = 'system' | 'dark' | 'light';
const KEY = 'nexusmon.theme';

class Theme {
  choice = $state<Choice>('system');

  constructor() {
    const kept = localStorage.getItem(KEY);
    if (kept === 'dark' || kept === 'light') this.set(kept);
  }

  set(choice: Choice) {
    this.choice = choice;
    const root = document.documentElement;
    if (choice === 'system') {
      delete root.dataset.theme;
      localStorage.removeItem(KEY);
    } else {
      root.dataset.theme = choice;
      localStorage.setItem(KEY, choice);
    }
  }

  get dark(): boolean {
    return this.choice === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : this.choice === 'dark';
  }

  toggle() {
    this.set(this.dark ? 'light' : 'dark');
  }
}

export const theme = new Theme();
