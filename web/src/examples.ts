import activities from './examples/activities.graphql?raw';
import goalEvents from './examples/goal-events.graphql?raw';
import goalsVariables from './examples/goals.variables.json?raw';
import goals from './examples/goals.graphql?raw';
import importing from './examples/import.graphql?raw';
import importVariables from './examples/import.variables.json?raw';
import individualVariables from './examples/individual.variables.json?raw';
import individual from './examples/individual.graphql?raw';
import job from './examples/job.graphql?raw';
import jobVariables from './examples/job.variables.json?raw';
import setGoalsVariables from './examples/set-goals.variables.json?raw';
import setGoals from './examples/set-goals.graphql?raw';
import reps from './examples/reps.graphql?raw';
import teamVariables from './examples/team.variables.json?raw';
import setup from './examples/setup.graphql?raw';
import team from './examples/team.graphql?raw';
import viewer from './examples/viewer.graphql?raw';

/** One tab for each way to look at a team; the first one is shown. */
export const EXAMPLES: { query: string; variables?: string }[] = [
  { query: team, variables: teamVariables },
  { query: individual, variables: individualVariables },
  { query: reps },
  { query: goals, variables: goalsVariables },
  { query: setGoals, variables: setGoalsVariables },
  { query: goalEvents },
  { query: activities },
  { query: viewer },
  { query: setup },
  { query: importing, variables: importVariables },
  { query: job, variables: jobVariables },
];
