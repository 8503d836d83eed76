/** A Machines API that runs each machine as a worker in this process. It answers what the scaler asks, no more. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { connectBackend } from "../../worker/src/backend/convexBackend.ts";

interface Machine {
  id: string;
  name: string;
  state: string;
  region: string;
  config: { image: string; metadata: Record<string, string>; env: Record<string, string> };
}

export interface Machines {
  url: string;
  close(): Promise<void>;
}

/** @param answer what the agent says to a person's message */
export async function startMachines(answer: (text: string) => string): Promise<Machines> {
  const machines = new Map<string, Machine>();
  const closing = new AbortController();
  const workers: Promise<void>[] = [];

  const reply = async (request: IncomingMessage): Promise<[status: number, body: unknown]> => {
    const { pathname } = new URL(request.url ?? "", "http://machines");
    const [, , , , collection, id] = pathname.split("/");
    if (collection === undefined) return [200, { network: null }];
    if (request.method === "POST" && id === undefined) {
      const { name, region, config } = (await json(request)) as Omit<Machine, "id" | "state">;
      const machine = { id: randomUUID(), name, region, config, state: "started" };
      machines.set(machine.id, machine);
      workers.push(runWorker(config.env, answer, closing.signal));
      return [200, machine];
    }
    if (id === undefined) return [200, [...machines.values()]];
    const machine = machines.get(id);
    return machine === undefined ? [404, { error: "not found" }] : [200, machine];
  };

  const server = createServer((request, response) => {
    void reply(request).then(([status, body]) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      closing.abort();
      await Promise.all(workers);
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A worker without an agent: it claims, reads the bundle, answers. */
async function runWorker(
  env: Record<string, string>,
  answer: (text: string) => string,
  signal: AbortSignal,
): Promise<void> {
  const { CONVEX_URL: url = "", WORKER_ID: workerId = "", WORKER_TOKEN: token = "" } = env;
  const backend = connectBackend({ url, credential: { workerId, token }, callTimeoutMs: 10_000 });
  await backend.ready({ bootMs: 1, skills: [], removedSkills: [] });
  let wake = (): void => undefined;
  const unsubscribe = backend.subscribeInbox(
    () => wake(),
    () => wake(),
  );
  signal.addEventListener("abort", () => wake());
  while (!signal.aborted) {
    const news = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const claim = await backend.claim(randomUUID());
    const bundle = claim === null ? null : await backend.getHydrationBundle(claim, null);
    if (claim === null || bundle === null) {
      await news;
      continue;
    }
    const { messageId, leaseId } = claim;
    const asked = bundle.payload.messageText ?? "";
    const text = answer(asked);
    await backend.complete({
      messageId,
      leaseId,
      answer: { text },
      history: [
        { role: "user", content: asked },
        { role: "assistant", content: text },
      ],
    });
  }
  unsubscribe();
  await backend.close();
}
