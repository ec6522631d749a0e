/** Who is signed in, as `GET /session` tells it. */
export interface Person {
  email: string;
  name: string;
  role: string;
  team: string;
}

export interface Session {
  signedIn: boolean;
  user: Person | null;
  csrfToken: string | null;
  demo: boolean;
  people: Person[];
}

export const CSRF_HEADER = 'X-Sideline-CSRF';

async function read(response: Response): Promise<Session> {
  const body = await response.json();
  if (!response.ok) {
    throw new Error(body.errors?.[0]?.message ?? `The server answered ${response.status}.`);
  }
  return body as Session;
}

export async function currentSession(): Promise<Session> {
  return read(await fetch('/session', { credentials: 'same-origin' }));
}

export async function signIn(credential: { token: string } | { person: string }): Promise<Session> {
  return read(
    await fetch('/session', {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(credential),
    }),
  );
}

export async function signOut(csrfToken: string | null): Promise<Session> {
  await fetch('/session', {
    method: 'DELETE',
    credentials: 'same-origin',
    headers: csrfToken ? { [CSRF_HEADER]: csrfToken } : {},
  });
  return currentSession();
}
