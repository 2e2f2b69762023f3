// Short names for what the API answers.
import type { components } from '../../generated/schema';

type Schemas = components['schemas'];
export type Rank = Schemas['Rank'];
export type Mission = Schemas['Mission'];
export type MissionSummary = Schemas['MissionSummary'];
export type MissionStatus = Schemas['MissionStatus'];
export type Task = Schemas['Task'];
export type TaskStatus = Schemas['TaskStatus'];
export type TaskDetail = Schemas['TaskDetail'];
export type Attempt = Schemas['Attempt'];
export type Approval = Schemas['Approval'];
export type Review = Schemas['Review'];
export type Halt = Schemas['Halt'];
export type Agent = Schemas['Agent'];
export type Invite = Schemas['Invite'];
export type Artifact = Schemas['Artifact'];
export type ArtifactDetail = Schemas['ArtifactDetail'];
export type Version = Schemas['Version'];
export type Difference = Schemas['Difference'];
export type AuditEntry = Schemas['AuditEntry'];
export type Evolution = Schemas['Evolution'];
export type Trait = Schemas['Trait'];
export type OrganismStatus = Schemas['OrganismStatus'];
export type CognitionStatus = Schemas['CognitionStatus'];
export type Beliefs = Schemas['Beliefs'];
export type AssertedBelief = Schemas['AssertedBelief'];
export type BeliefDetail = Schemas['BeliefDetail'];
export type ErrorTaxonomy = Schemas['ErrorTaxonomy'];
export type Remembered = Schemas['Remembered'];
export type LearnedPlaybook = Schemas['LearnedPlaybook'];
export type DryRun = Schemas['DryRun'];
export type LogLine = Schemas['Line'];
/** Something that happened, as the event stream tells it. */
export type Change = Schemas['Event'];
export const RANKS: readonly Rank[] = ['E', 'D', 'C', 'B', 'A', 'S'];
