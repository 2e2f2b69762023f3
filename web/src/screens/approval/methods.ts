// How a vote was vouched for, in words, and when an approval came to its end.
import type { Glyph } from '$lib/states';
import type { Approval } from '$lib/types';

export const METHODS: Record<string, { glyph: Glyph; say: string }> = {
  passkey: { glyph: 'ok', say: 'signed with a passkey' },
  key: { glyph: 'ok', say: 'signed with a key of the command line' },
  server: { glyph: 'skip', say: 'not signed: the coordinator vouches for it' },
};

export const decidedAt = (each: Pick<Approval, 'decided_at' | 'decide_by' | 'created_at' | 'status'>): string => each.decided_at ?? (each.status === 'expired' ? each.decide_by : each.created_at);
