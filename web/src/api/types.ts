/** Short names for the shapes of the API, which `npm run types` generates from docs/openapi.json. */
import type { components, operations } from './openapi';

type Schemas = components['schemas'];

export type Build = Schemas['BuildView'];
export type BuildList = Schemas['BuildListView'];
export type BuildState = Schemas['State'];
export type RunningState = Extract<BuildState, 'preparing' | 'building' | 'collecting' | 'publishing'>;
export type EndState = Exclude<BuildState, 'queued' | RunningState>;
export type Cause = Schemas['Cause'];
export type Step = Schemas['StepView'];
export type Artifact = Schemas['ArtifactView'];
export type Commit = Schemas['Commit'];
export type Base = Schemas['Base'];
export type Status = Schemas['StatusView'];
export type AskedBuild = Schemas['AskedBuild'];
export type Caused = Schemas['CausedView'];

export type Lane = Schemas['LaneView'];
export type LaneBuild = Schemas['LaneBuildView'];

export type RepositoryList = Schemas['RepositoryListView'];
export type Repository = Schemas['RepositoryView'];
export type Branch = Schemas['BranchView'];
export type Duration = Schemas['DurationView'];

export type Configuration = Schemas['ConfigurationView'];
export type ConfigurationFile = Schemas['FileView'];
export type Finding = Schemas['Finding'];

export type Service = Schemas['ServiceView'];
export type Disk = Schemas['DiskView'];
export type Session = Schemas['SessionView'];
export type ApiError = Schemas['ErrorView'];

export type ServerMessage = Schemas['ServerMessage'];
export type ClientMessage = Schemas['ClientMessage'];

export type FollowFrom = Schemas['PlaceFields'];

/** The parameters of a question; those that are undefined are left out. */
type QueryOf<Name extends 'list_builds' | 'list_repositories'> = Undefinable<
  NonNullable<operations[Name]['parameters']['query']>
>;
type Undefinable<T> = { [Key in keyof T]?: T[Key] | undefined };

export type BuildsQuery = QueryOf<'list_builds'>;
export type RepositoriesQuery = QueryOf<'list_repositories'>;
