// Follow goal events for ever, each exactly once, with the public clients graphql-ws (for ws://…) and graphql-sse
// (for http://…): node integrator.mjs URL TOKEN FILE [CURSOR]
//
// FILE gets a line an event. The line holds the event's cursor, so that what is kept and how far it is kept are one
// write: a program that is killed at any point goes on after its last whole line. Needs Node 22 or newer.
import { fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { createClient as overSse } from "graphql-sse";
import { createClient as overWebSocket } from "graphql-ws";

const [url, token, path, first] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const query = `subscription($after: String) { goalEvents(after: $after) {
  cursor type at goal { id metric period target subject { ... on User { name } ... on Group { name } } } } }`;

const file = openSync(path, "a+");
const text = readFileSync(path);
const end = text.lastIndexOf("\n") + 1;
ftruncateSync(file, end); // a line that was cut short was never told to anybody
const last = text.subarray(0, end).toString().trimEnd().split("\n").at(-1);
let cursor = last ? JSON.parse(last).cursor : first;

// Both clients come again on their own; the getter has them ask for what comes after the last line then.
const variables = { get after() { return cursor; } };
const retry = () => new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 500));
const client = url.startsWith("ws")
  ? overWebSocket({ url, connectionParams: { authorization }, retryAttempts: Infinity, retryWait: retry, shouldRetry: () => true, keepAlive: 10_000 })
  : overSse({ url, headers: { authorization }, retryAttempts: Infinity, retry });

const follow = () => client.subscribe({ query, variables }, {
  next({ data, errors }) {
    if (errors) return console.error("refused", JSON.stringify(errors));
    writeSync(file, JSON.stringify(data.goalEvents) + "\n");
    fsyncSync(file);
    cursor = data.goalEvents.cursor;
  },
  error(problem) { console.error("again, after", cursor, problem); retry().then(follow); },
  complete() { retry().then(follow); },
});
follow();
