import activities from './examples/activities.graphql?raw';
import exportsVariables from './examples/exports.variables.json?raw';
import exported from './examples/exports.graphql?raw';
import goalEvents from './examples/goal-events.graphql?raw';
import goalsVariables from './examples/goals.variables.json?raw';
import goals from './examples/goals.graphql?raw';
import importing from './examples/import.graphql?raw';
import importVariables from './examples/import.variables.json?raw';
import individualVariables from './examples/individual.variables.json?raw';
import individualView from './examples/individual-view.graphql?raw';
import individualViewVariables from './examples/individual-view.variables.json?raw';
import individual from './examples/individual.graphql?raw';
import job from './examples/job.graphql?raw';
import jobVariables from './examples/job.variables.json?raw';
import scorecards from './examples/scorecards.graphql?raw';
import setGoalsVariables from './examples/set-goals.variables.json?raw';
import setGoals from './examples/set-goals.graphql?raw';
import liveCallsVariables from './examples/live-calls.variables.json?raw';
import liveCalls from './examples/live-calls.graphql?raw';
import coachingOpportunitiesVariables from './examples/coaching-opportunities.variables.json?raw';
import coachingOpportunities from './examples/coaching-opportunities.graphql?raw';
import goalPlanVariables from './examples/goal-plan.variables.json?raw';
import goalPlan from './examples/goal-plan.graphql?raw';
import coachingPlansVariables from './examples/coaching-plans.variables.json?raw';
import coachingPlans from './examples/coaching-plans.graphql?raw';
import managerViewVariables from './examples/manager-view.variables.json?raw';
import managerView from './examples/manager-view.graphql?raw';
import reps from './examples/reps.graphql?raw';
import scheduledActionsVariables from './examples/scheduled-actions.variables.json?raw';
import scheduledActions from './examples/scheduled-actions.graphql?raw';
import scoresVariables from './examples/scores.variables.json?raw';
import scores from './examples/scores.graphql?raw';
import teamVariables from './examples/team.variables.json?raw';
import setup from './examples/setup.graphql?raw';
import team from './examples/team.graphql?raw';
import viewer from './examples/viewer.graphql?raw';

/** One tab for each way to look at a team; the first one is shown. */
export const EXAMPLES: { query: string; variables?: string }[] = [
  { query: team, variables: teamVariables },
  { query: individual, variables: individualVariables },
  { query: individualView, variables: individualViewVariables },
  { query: scorecards },
  { query: reps },
  { query: goals, variables: goalsVariables },
  { query: setGoals, variables: setGoalsVariables },
  { query: goalPlan, variables: goalPlanVariables },
  { query: coachingOpportunities, variables: coachingOpportunitiesVariables },
  { query: scores, variables: scoresVariables },
  { query: managerView, variables: managerViewVariables },
  { query: coachingPlans, variables: coachingPlansVariables },
  { query: goalEvents },
  { query: activities },
  { query: scheduledActions, variables: scheduledActionsVariables },
  { query: liveCalls, variables: liveCallsVariables },
  { query: viewer },
  { query: exported, variables: exportsVariables },
  { query: setup },
  { query: importing, variables: importVariables },
  { query: job, variables: jobVariables },
];
