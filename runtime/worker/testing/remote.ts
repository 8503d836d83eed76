/** A fake deployment for workers in other processes: its calls as JSON over HTTP, its inbox by asking often. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Inbox } from "../../convex/validators.ts";
import { BackendError, type WorkerBackend } from "../src/backend/backend.ts";
import type { FakeDeployment } from "./fakeBackend.ts";

const INBOX_INTERVAL_MS = 50;

export interface ServedDeployment {
  url: string;
  close(): Promise<void>;
}

/** Serves `POST /<workerId>/<method>` with the arguments as a JSON array. */
export async function serveDeployment(deployment: FakeDeployment): Promise<ServedDeployment> {
  const backends = new Map<string, WorkerBackend>();
  const server: Server = createServer((request, response) => {
    const [workerId = "", method = ""] = (request.url ?? "").slice(1).split("/");
    const backend = backends.get(workerId) ?? deployment.backend(workerId);
    backends.set(workerId, backend);
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      if (method === "inbox") return response.end(JSON.stringify(deployment.inbox));
      const call = (backend as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[method];
      const result =
        call === undefined
          ? Promise.reject(new Error(`no ${method}`))
          : call(...(JSON.parse(body) as unknown[]));
      result.then(
        (value) => response.end(JSON.stringify({ value })),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The other end: a backend whose every call goes to the served deployment. */
export function remoteBackend(url: string, workerId: string): WorkerBackend {
  const post = async (method: string, args: unknown[]): Promise<unknown> => {
    const response = await fetch(`${url}/${workerId}/${method}`, {
      method: "POST",
      body: JSON.stringify(args),
    });
    if (!response.ok) throw new BackendError("unknown", await response.text());
    return ((await response.json()) as { value: unknown }).value;
  };
  const local = {
    subscribeInbox: (onInbox: (inbox: Inbox) => void) => {
      const timer = setInterval(() => {
        void fetch(`${url}/${workerId}/inbox`, { method: "POST", body: "[]" })
          .then(async (response) => onInbox((await response.json()) as Inbox))
          .catch(() => undefined); // Asked again at once.
      }, INBOX_INTERVAL_MS);
      return () => clearInterval(timer);
    },
    reconnect: () => undefined,
    close: () => Promise.resolve(),
  };
  return new Proxy(local as unknown as WorkerBackend, {
    get: (target, name) => Reflect.get(target, name) ?? ((...args: unknown[]) => post(String(name), args)),
  });
}
