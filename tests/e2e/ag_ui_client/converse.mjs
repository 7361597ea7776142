// One conversation of AG-UI's own HttpAgent with a server. stdin has {url, headers?, threadId?, messages?, comesBack?, turns:
// [Turn…]}; stdout gets what the client made of each turn, the verification of the events' order being its own. With
// `comesBack` its fetch is the example's, which goes on after a broken connection.
//
// Turn: {say?, edit?, resume?, watch?, abortOn?, runId?, tools?, context?, forwardedProps?}
//   say      the next message of the user
//   edit     {at, text}: messages from `at` on are dropped and `text` is said instead, as "regenerate" does
//   resume   {status, pick?}: every open interrupt is answered, with its candidate number `pick`
//   watch    no request is made, but the events of the run with this id are read
//   abortOn  abortRun() at the first event of that type

import { HttpAgent, buildResumeArray } from "@ag-ui/client";
import { resumable } from "./resumable.mjs";

const TURN_MS = 90_000;

const text = await new Response(process.stdin).text();
const { turns, messages, comesBack, ...config } = JSON.parse(text);

let warnings = [];
console.warn = (...parts) => warnings.push(parts.map(String).join(" "));
console.error = () => {}; // a failed run is logged there, and thrown: the report has it

let answered, watched;
const fetching = comesBack ? resumable() : fetch;
const agent = new HttpAgent({
  ...config,
  initialMessages: messages,
  fetch: async (url, init) => {
    const events = new URL(`api/tasks/${watched}/events`, url);
    answered = await (watched ? fetch(events, { ...init, method: "GET", body: undefined }) : fetching(url, init));
    return answered;
  },
});

function prepare(turn, number) {
  if (turn.edit) agent.setMessages(agent.messages.slice(0, turn.edit.at));
  const said = turn.say ?? turn.edit?.text;
  if (said !== undefined) agent.addMessage({ id: `said-${number}-${crypto.randomUUID()}`, role: "user", content: said });
  const { tools, context, forwardedProps, runId } = turn;
  return { tools, context, forwardedProps, runId, ...(turn.resume && { resume: answers(turn.resume) }) };
}

function answers({ status, pick = 0 }) {
  const responses = agent.pendingInterrupts.map(({ id, responseSchema }) => [
    id,
    status === "resolved" ? { status, payload: responseSchema.enum[pick] } : { status },
  ]);
  return buildResumeArray(agent.pendingInterrupts, Object.fromEntries(responses));
}

async function run(turn, number) {
  const report = { events: [] };
  warnings = [];
  answered = undefined;
  watched = turn.watch;
  const subscriber = {
    onEvent: ({ event }) => {
      report.events.push(event);
      if (event.type === turn.abortOn) agent.abortRun();
    },
    onRunFinishedEvent: ({ outcome, pendingToolCallIds }) => void Object.assign(report, { outcome, pendingToolCallIds }),
    onRunErrorEvent: ({ event }) => void (report.runError = { code: event.code, message: event.message }),
    onRunFailed: ({ error: { message, status, payload } }) => void (report.failure = { message, status, payload }),
  };
  const parameters = prepare(turn, number);
  report.sent = { messages: structuredClone(agent.messages), resume: parameters.resume };
  const timer = setTimeout(() => agent.abortRun(), TURN_MS);
  try {
    const { result, newMessages } = await agent.runAgent(parameters, subscriber);
    Object.assign(report, { result, newMessages });
  } catch (error) {
    report.thrown = error.message;
  }
  clearTimeout(timer);
  return {
    ...report,
    warnings,
    ourRunId: answered?.headers.get("x-run-id"),
    threadId: agent.threadId,
    messages: structuredClone(agent.messages),
    state: structuredClone(agent.state),
    pendingInterrupts: structuredClone(agent.pendingInterrupts),
  };
}

const reports = [];
for (const [number, turn] of turns.entries()) reports.push(await run(turn, number));
await new Promise((done) => process.stdout.write(JSON.stringify(reports), done));
process.exit(0); // an aborted stream may hold a socket open
