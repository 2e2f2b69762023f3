// What a browser does with passkeys: make one, answer with one. What is asked and what is believed is the coordinator's.
import { api, ok } from './api';
import type { components } from '../../generated/schema';

type Schemas = components['schemas'];
export type Passkey = Schemas['Passkey'];

/** A passkey belongs to a name over HTTPS, or to this machine by its name. */
export const possible = (): boolean => isSecureContext && 'PublicKeyCredential' in globalThis && !/^[\d.]+$|^\[/.test(location.hostname);

export function text(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): string {
  const each = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return btoa(String.fromCharCode(...each)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export const bytes = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0));

/** Asks the browser, and says in words what it refuses. */
async function asked<T extends AuthenticatorResponse>(call: () => Promise<Credential | null>): Promise<{ id: string; response: T }> {
  try {
    const found = (await call()) as PublicKeyCredential | null;
    if (found) return { id: found.id, response: found.response as T };
  } catch (error) {
    if (error instanceof DOMException && error.name === 'InvalidStateError') throw new Error('This device holds a passkey of yours already.', { cause: error });
    if (error instanceof DOMException && error.name === 'SecurityError') throw new Error('Passkeys do not work at this address: open the coordinator by its name.', { cause: error });
    if (!(error instanceof DOMException && (error.name === 'NotAllowedError' || error.name === 'AbortError'))) throw error;
  }
  throw new Error('No passkey was used: it was cancelled, took too long, or there is none for this place.');
}

export interface Answer {
  id: string;
  assertion: { client_data: string; authenticator_data: string; signature: string };
}

/** Has a passkey answer `challenge`; any of this place, or one of `allowed`. */
export async function answer(challenge: Uint8Array<ArrayBuffer>, rpId: string, allowed: string[] = []): Promise<Answer> {
  const { id, response } = await asked<AuthenticatorAssertionResponse>(() =>
    navigator.credentials.get({
      publicKey: { challenge, rpId, userVerification: 'required', timeout: 120_000, allowCredentials: allowed.map((each) => ({ type: 'public-key', id: bytes(each) })) },
    }),
  );
  return { id, assertion: { client_data: text(response.clientDataJSON), authenticator_data: text(response.authenticatorData), signature: text(response.signature) } };
}

/** What `POST /v1/auth/login` takes. */
export async function forLogin(allowed: string[] = []): Promise<Schemas['PasskeyAnswer']> {
  const { challenge, ticket, rp_id } = await ok(api.POST('/v1/auth/passkeys/challenge', { body: {} }));
  const { id, assertion } = await answer(bytes(challenge), rp_id, allowed);
  return { credential_id: id, ticket, assertion };
}

/** Makes a passkey on this device and registers it. */
export async function make(name: string): Promise<Passkey> {
  const options = await ok(api.POST('/v1/auth/passkeys/options', { body: {} }));
  const { response } = await asked<AuthenticatorAttestationResponse>(() =>
    navigator.credentials.create({
      publicKey: {
        challenge: bytes(options.challenge),
        rp: { id: options.rp_id, name: 'NEXUSMON' },
        user: { id: bytes(options.user_id), name: options.user_name, displayName: options.user_name },
        pubKeyCredParams: options.algorithms.map((alg) => ({ type: 'public-key', alg })),
        excludeCredentials: options.exclude.map((each) => ({ type: 'public-key', id: bytes(each) })),
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        attestation: 'none',
        timeout: 120_000,
      },
    }),
  );
  const registration = { client_data: text(response.clientDataJSON), authenticator_data: text(response.getAuthenticatorData()) };
  return ok(api.POST('/v1/auth/passkeys', { body: { name, ticket: options.ticket, registration } }));
}
