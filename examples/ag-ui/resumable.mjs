// A fetch for AG-UI's HttpAgent. The protocol's own transport cannot come back to a run whose connection broke; this one
// reads the rest from GET api/tasks/RUN_ID/events, so that the agent sees every event once and knows of nothing.

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;

/** `patience` is for how many ms after the last event a server that is away is asked again. */
export function resumable({ patience = 60_000, fetch = globalThis.fetch } = {}) {
  return async (url, init) => {
    const answer = await fetch(url, init);
    const run = answer.headers.get("x-run-id");
    if (!answer.ok || !run) return answer;
    const events = new URL(`api/tasks/${run}/events`, url);
    const again = (last) =>
      fetch(events, { signal: init.signal, headers: { ...init.headers, "Last-Event-ID": String(last) } });
    return new Response(stream(blocks(answer, again, patience, init.signal)), answer);
  };
}

async function* blocks(answer, again, patience, signal) {
  let [last, seen, wait] = [0, Date.now(), FIRST_WAIT_MS];
  for (;;) {
    let broken = new Error("the stream ended before the run");
    try {
      for await (const block of split(answer.body)) {
        const id = /^id: (\d+)$/m.exec(block)?.[1];
        const end = /^data: \{"type":"(RUN_FINISHED|RUN_ERROR)"/m.test(block);
        if (end && !id) break; // no event of the run: the server itself lost sight of it
        yield new TextEncoder().encode(`${block}\n\n`);
        if (end) return;
        if (id) [last, seen, wait] = [Number(id), Date.now(), FIRST_WAIT_MS];
      }
    } catch (error) {
      broken = error;
    }
    do {
      if (signal?.aborted || Date.now() - seen > patience) throw broken;
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      answer = await again(last).catch((error) => void (broken = error));
    } while (!answer || answer.status >= 500);
    if (answer.status === 204) return; // nothing is left
    if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
  }
}

async function* split(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const found = (rest + text).split("\n\n");
    rest = found.pop(); // no whole block yet
    yield* found;
  }
}

function stream(parts) {
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => parts.return(),
  });
}
