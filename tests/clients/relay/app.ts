// A page of the list of reps and one rep's film, as a Relay app asks for them.
import { graphql } from 'relay-runtime';

export const repsQuery = graphql`
  query appRepsQuery($range: RangeInput!, $first: Int!, $after: String) {
    viewer {
      user {
        ...appPerson_user
      }
    }
    ...appReps_query @arguments(range: $range, first: $first, after: $after)
  }
`;

export const repsFragment = graphql`
  fragment appReps_query on Query
  @argumentDefinitions(
    range: { type: "RangeInput!" }
    first: { type: "Int", defaultValue: 20 }
    after: { type: "String" }
  )
  @refetchable(queryName: "appRepsPaginationQuery") {
    individuals(range: $range, first: $first, after: $after) @connection(key: "appReps_individuals") {
      edges {
        node {
          rank
          user {
            ...appPerson_user
          }
        }
      }
    }
  }
`;

export const personFragment = graphql`
  fragment appPerson_user on User {
    id
    name
    group {
      name
    }
  }
`;

export const filmFragment = graphql`
  fragment appFilm_user on User
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" })
  @refetchable(queryName: "appFilmQuery") {
    activities(first: $first, after: $after) @connection(key: "appFilm_activities") {
      edges {
        node {
          id
          occurredAt
          ... on EmailActivity {
            subject
          }
        }
      }
    }
  }
`;

export const goalMutation = graphql`
  mutation appGoalMutation($input: SetGoalsInput!) {
    setGoals(input: $input) {
      goals {
        id
        target
        version
      }
      errors {
        code
        message
        path
      }
    }
  }
`;

export const eventsSubscription = graphql`
  subscription appEventsSubscription($after: String) {
    goalEvents(after: $after) {
      cursor
      type
      goal {
        id
        target
      }
    }
  }
`;
