// What is known of a secret before it is sent, and what its binding says in words. Nothing here keeps a value.
import type { components } from '../../../generated/schema';

export type Secret = components['schemas']['Secret'];
export type Binding = components['schemas']['SecretBinding'];
export type Receiver = components['schemas']['SecretReceiver'];
export const MOST_BYTES = 64 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
export const isName = (text: string): boolean => NAME.test(text);

/** Names as they are typed: by comma, space or line, each once. */
export const listed = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))].sort();

/** The same bounds as the agents': shorter or simpler values would star logs full. */
export function isMasked(bytes: Uint8Array): boolean {
  return bytes.length >= 6 && new Set(bytes).size >= 4;
}

export const isBound = (binding: Binding): boolean => [binding.playbooks, binding.agents, binding.hosts].some((each) => (each ?? []).length > 0);

/** Base64 in pieces: arguments of a call are bounded. */
export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Who knows a value that is not the newest. */
export const outdated = (secret: Secret): Receiver[] => secret.received.filter((each) => each.version < secret.version);
