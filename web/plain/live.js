// One event stream: tells listeners that something changed; the browser resumes it by Last-Event-ID.

let stream = null;

/** Opens the stream. `changed(event)` for each change, `state('live' | 'resync')` for the line. */
export function open(changed, state) {
  close();
  stream = new EventSource('/v1/events');
  stream.addEventListener('open', () => state('live'));
  stream.addEventListener('error', () => {
    state('resync');
    // A refusal ends the stream for good; only a broken line is resumed by the browser itself.
    if (stream?.readyState === EventSource.CLOSED) setTimeout(() => stream?.readyState === EventSource.CLOSED && open(changed, state), 3000);
  });
  stream.addEventListener('change', (message) => changed(JSON.parse(message.data)));
}

export function close() {
  stream?.close();
  stream = null;
}

/** Calls `act` once for any number of calls within `pause` milliseconds. */
export function calmly(act, pause = 300) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      act();
    }, pause);
  };
}
