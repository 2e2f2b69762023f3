// The roles that are given, with what each may do.
export type Role = 'operator' | 'approver' | 'viewer' | 'service';
export const ROLES: readonly (readonly [Role, string, string])[] = [
  ['operator', 'Operator', 'Reads; creates and steers missions; drains, pauses and quarantines machines; flags, rates, the kill switch; judges reviews.'],
  ['approver', 'Approver', 'Reads, and decides approvals.'],
  ['viewer', 'Viewer', 'Reads.'],
  ['service', 'Service', 'Reads; creates and steers missions. For programs.'],
];
