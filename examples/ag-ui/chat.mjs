// A conversation in the terminal: each line is a message; a question that is asked back is answered with a number.
// HEADRACE_URL is the edge, HEADRACE_API_KEY a key of it, HEADRACE_MODE chat, qa, build, quiz or auto.

import { createInterface } from "node:readline";
import { HttpAgent, buildResumeArray } from "@ag-ui/client";
import { resumable } from "./resumable.mjs";

const { HEADRACE_URL = "http://127.0.0.1:8080", HEADRACE_API_KEY: key, HEADRACE_MODE: mode = "auto" } = process.env;
const agent = new HttpAgent({
  url: `${HEADRACE_URL}/ag-ui`,
  headers: key ? { Authorization: `Bearer ${key}` } : {},
  fetch: resumable(),
});

agent.subscribe({
  onTextMessageContentEvent: ({ event }) => void process.stdout.write(event.delta),
  onTextMessageEndEvent: () => console.log(),
  onToolCallEndEvent: ({ toolCallName, toolCallArgs }) => console.log(`[${toolCallName} ${JSON.stringify(toolCallArgs)}]`),
  onRunErrorEvent: ({ event }) => console.log(`[${event.code}: ${event.message}]`),
  onCustomEvent: ({ event, messages }) => {
    if (event.name === "headrace.warning") console.log(`[${event.value.message}]`);
    if (event.name !== "headrace.restarted") return;
    return { messages: messages.filter(({ id }) => id !== event.value.message_id) }; // it is void, another one follows
  },
});

function resume(line) {
  if (!agent.pendingInterrupts.length) return undefined;
  const answer = ({ responseSchema }) => {
    const payload = responseSchema.enum[Number(line) - 1];
    return payload === undefined ? { status: "cancelled" } : { status: "resolved", payload };
  };
  const answers = agent.pendingInterrupts.map((one) => [one.id, answer(one)]);
  return buildResumeArray(agent.pendingInterrupts, Object.fromEntries(answers));
}

for await (const line of createInterface({ input: process.stdin })) {
  const answers = resume(line);
  if (!answers?.every(({ status }) => status === "resolved")) {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: line });
  }
  await agent.runAgent({ resume: answers, forwardedProps: { mode } }).catch(({ message }) => console.log(`[${message}]`));
  for (const { message, metadata } of agent.pendingInterrupts) {
    console.log(message);
    metadata.candidates.forEach(({ name, id }, at) => console.log(`  ${at + 1}  ${name} (${id})`));
  }
  const slots = Object.keys(agent.state.page?.slots ?? {});
  if (slots.length) console.log(`[page: ${slots.join(", ")}]`);
}
