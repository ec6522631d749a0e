// The types of a generated document, used as an app uses them: this compiles only if they are what the app expects.
import { TeamDocument, type TeamQuery, type TeamQueryVariables } from './generated/graphql';

const variables: TeamQueryVariables = { metrics: ['EMAILS_SENT', 'REPLY_RATE'] };

export function leader(data: TeamQuery): string | undefined {
  const [first] = data.teamDashboard.reps.nodes;
  const value: string | null | undefined = first?.metrics[0]?.value;
  return first === undefined ? undefined : `${first.rank}. ${first.user.name}: ${value ?? 'nothing'}`;
}

export const operation = { document: TeamDocument, variables };
