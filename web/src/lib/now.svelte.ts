// The time, for what counts up or down on a screen.
class Now {
  value = $state(Date.now());

  constructor() {
    setInterval(() => {
      if (document.visibilityState === 'visible') this.value = Date.now();
    }, 1000);
  }
}

export const now = new Now();
