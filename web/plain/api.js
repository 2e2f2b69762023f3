// Calls of the REST API with the browser's session.

/** A refused call: `status`, the stable `code`, and a message for people. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `The coordinator answered ${status}.`);
    this.status = status;
    this.code = problem?.code ?? '';
  }
}

async function call(method, path, body) {
  const headers = { accept: 'application/json' };
  if (method !== 'GET') {
    headers['content-type'] = 'application/json';
    headers['idempotency-key'] = crypto.getRandomValues(new Uint32Array(4)).join('-');
  }
  const answer = await fetch(path, {
    method, headers, body: method === 'GET' ? undefined : JSON.stringify(body ?? {}), credentials: 'same-origin',
  });
  const text = await answer.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    if (answer.ok) throw new Refused(answer.status, { detail: 'The answer is not JSON.' });
  }
  if (!answer.ok) throw new Refused(answer.status, content);
  return content;
}

export const get = (path) => call('GET', path);
export const post = (path, body) => call('POST', path, body);
