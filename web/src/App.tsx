import { explorerPlugin } from '@graphiql/plugin-explorer';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { useEffect, useMemo, useState, type FormEvent } from 'react';
import { EXAMPLES } from './examples';
import { CSRF_HEADER, currentSession, signIn, signOut, type Session } from './session';

const explorer = explorerPlugin({ showAttribution: false });
const plugins = [explorer];

function socketAddress(): string {
  const scheme = window.location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${window.location.host}/graphql`;
}

export function App() {
  const [session, setSession] = useState<Session | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  const change = (work: Promise<Session>) => {
    setProblem(null);
    work.then(setSession, (error: Error) => setProblem(error.message));
  };
  useEffect(() => change(currentSession()), []);

  return (
    <>
      <header className="bar">
        <span className="brand">Sideline</span>
        {session && <Who session={session} onChange={change} />}
        {problem && (
          <span className="problem" role="alert">
            {problem}
          </span>
        )}
      </header>
      <main className="stage">
        {session?.signedIn ? (
          <Workbench key={session.csrfToken} session={session} />
        ) : (
          <p className="hint">
            {session?.demo
              ? 'Choose a person of the demo team above, and see what they may see.'
              : 'Sign in above with a token. An operator makes one with: sideline token create EMAIL'}
          </p>
        )}
      </main>
    </>
  );
}

function Who({ session, onChange }: { session: Session; onChange: (work: Promise<Session>) => void }) {
  const [token, setToken] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onChange(signIn({ token: token.trim() }));
    setToken('');
  };
  return (
    <>
      {session.demo && (
        <label>
          Signed in as{' '}
          <select
            aria-label="Demo person"
            value={session.user?.email ?? ''}
            onChange={(event) => onChange(signIn({ person: event.target.value }))}
          >
            <option value="" disabled>
              choose a person
            </option>
            {session.people.map((person) => (
              <option key={person.email} value={person.email}>
                {person.name}: {person.role} ({person.email})
              </option>
            ))}
          </select>
        </label>
      )}
      {session.user && (
        <span className="who" data-testid="who">
          {session.user.name}, {session.user.role}, {session.user.team}
        </span>
      )}
      {!session.demo && !session.signedIn && (
        <form onSubmit={submit}>
          <input
            aria-label="Token"
            type="password"
            autoComplete="off"
            placeholder="sl_…"
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
          <button type="submit">Sign in</button>
        </form>
      )}
      {session.signedIn && (
        <button type="button" onClick={() => onChange(signOut(session.csrfToken))}>
          Sign out
        </button>
      )}
    </>
  );
}

function Workbench({ session }: { session: Session }) {
  const fetcher = useMemo(
    () =>
      createGraphiQLFetcher({
        url: '/graphql',
        headers: { [CSRF_HEADER]: session.csrfToken ?? '' },
        wsClient: createClient({ url: socketAddress(), lazy: true }),
      }),
    [session.csrfToken],
  );
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={plugins}
      visiblePlugin={explorer}
      defaultTabs={EXAMPLES}
      isHeadersEditorEnabled={false}
      defaultEditorToolsVisibility="variables"
    >
      <GraphiQL.Logo>{' '}</GraphiQL.Logo>
    </GraphiQL>
  );
}
