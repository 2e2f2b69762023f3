// A roster as it is shown. The document calls it an object; what does not fit is left out, never guessed.

export interface RosterPerson {
  id: string;
  name: string;
  role: string;
  approves: boolean;
  keys: { kind: string; text: string }[];
}
export interface RosterText {
  persons: RosterPerson[];
  need: { A: number | null; S: number | null };
  agents: number;
  predecessor: string | null;
  recovery: boolean;
}

const record = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {});
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const amount = (value: unknown): number | null => (typeof value === 'number' ? value : null);

export function rosterOf(value: unknown): RosterText {
  const roster = record(value);
  const need = record(roster.need);
  const persons = Object.entries(record(roster.persons)).map(([id, each]): RosterPerson => {
    const person = record(each);
    const role = text(person.role);
    const keys = (Array.isArray(person.keys) ? person.keys : []).map((one) => {
      const key = record(one);
      return { kind: text(key.kind), text: text(key.public_key) || text(key.credential) || JSON.stringify(key) };
    });
    return { id, name: text(person.name) || id, role, approves: role === 'owner' || role === 'approver', keys };
  });
  return {
    persons: persons.sort((a, b) => Number(b.role === 'owner') - Number(a.role === 'owner') || a.name.localeCompare(b.name)),
    need: { A: amount(need.A), S: amount(need.S) },
    agents: Object.keys(record(roster.agents)).length,
    predecessor: text(roster.predecessor) || null,
    recovery: typeof roster.recovery === 'string',
  };
}
