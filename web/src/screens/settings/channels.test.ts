import { describe, expect, it } from 'vitest';
import { body, empty, leads, says, type Channel, type Rule } from './channels';

describe('channels', () => {
  it('send what belongs to their kind and nothing else', () => {
    const draft = { ...empty(), name: ' ops ', url: ' https://a.example/x ', token: 'tk', host: 'mail', password: 'secret' };
    expect(body({ ...draft, kind: 'slack' })).toEqual({ name: 'ops', kind: 'slack', url: 'https://a.example/x' });
    expect(body({ ...draft, kind: 'ntfy' })).toEqual({ name: 'ops', kind: 'ntfy', url: 'https://a.example/x', token: 'tk' });
    expect(body({ ...draft, kind: 'push' })).toEqual({ name: 'ops', kind: 'push' });
    const mail = body({ ...draft, kind: 'email', from: 'a@b', to: 'c@d, e@f' });
    expect(mail).toEqual({ name: 'ops', kind: 'email', server: { host: 'mail', port: 465, security: 'tls' }, from: 'a@b', to: ['c@d', 'e@f'] });
    expect(body({ ...draft, kind: 'email', username: 'me' }).server).toMatchObject({ username: 'me', password: 'secret' });
  });
  it('show no more of where they lead than they are given', () => {
    expect(leads({ shown: { host: 'ntfy.sh' } } as unknown as Channel)).toBe('ntfy.sh');
    expect(leads({ shown: { to: ['a@b', 'c@d'], host: 'x' } } as unknown as Channel)).toBe('a@b, c@d');
    expect(leads({ shown: {} } as unknown as Channel)).toBe('');
  });
});

describe('rules', () => {
  it('are said in words', () => {
    const rule = { kinds: ['approval', 'failure'], rank: 'B', labels: { team: 'web' }, digest: 1800, quiet: { from: '22:00', to: '07:00', time_zone: 'Europe/Berlin' }, escalate: { after: 900, channel: 'chn_1' } };
    expect(says(rule as unknown as Rule, () => 'phone')).toBe('Approvals that wait, Missions that failed · from rank B · team=web · gathered over 30 min · quiet 22:00–07:00 Europe/Berlin · unseen approvals after 15 min to phone');
  });
});
