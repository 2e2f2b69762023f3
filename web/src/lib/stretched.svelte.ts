// Whether the words are shown stretched. What does it is fetched only then.
const KEPT = 'nexusmon.pseudo';

class Stretched {
  on = $state(false);
  #end: (() => void) | null = null;

  start() {
    void this.#follow(localStorage.getItem(KEPT) === '1');
    addEventListener('storage', (event) => event.key === KEPT && void this.#follow(event.newValue === '1'));
  }

  turn(on: boolean) {
    if (on) localStorage.setItem(KEPT, '1');
    else localStorage.removeItem(KEPT);
    void this.#follow(on);
  }

  async #follow(on: boolean) {
    this.on = on;
    if (!on) {
      this.#end?.();
      this.#end = null;
      return;
    }
    const { stretch } = await import('./pseudo');
    if (this.on && !this.#end) this.#end = stretch(document.body);
  }
}

export const stretched = new Stretched();
