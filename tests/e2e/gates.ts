/**
 * Gates between the engine and the planes: loopback proxies that see every call of a stack's program, of its providers
 * and of the tools that they run, tell writes from reads, and can do something to the n-th write. The planes' own
 * calls to each other (backend to Fly, backend to Telegram, machine to backend) do not come through here, nor does the
 * image: Fly has to know the registry under the address that the image names.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Cloud } from "../../local/environment/services.ts";
import { forward } from "./forward.ts";

export type Plane = "convex" | "fly";

export interface Write {
  /** Counted over all planes from 1, in the order in which they came. */
  nth: number;
  plane: Plane;
  /** `POST /v1/apps`, `function factory:importSecret`, `mutation CreateToken`. */
  what: string;
}

/**
 * What to do to a write. `pass` is the rule; `refuse` answers 500 before the plane sees it; `lose` lets the plane act
 * and drops the answer; the others stop the engine (see `Gates.stop`) instead of answering, before or after it acted.
 */
export type Effect = "pass" | "refuse" | "lose" | "stopBefore" | "stopAfter";

/** Backend functions that the stack calls and that change nothing. */
const READS = new Set([
  "factory:appStatus",
  "factory:listAgents",
  "factory:runtimeConfig",
  "factory:rolloutStatus",
  "factory:secretStatus",
  "factory:telegramWebhookStatus",
  "factory:workersLeft",
]);
/** Calls of the CLI's push that only ask or report. */
const ASKS = new Set([
  "/api/get_config_hashes",
  "/api/deploy2/evaluate_schema",
  "/api/deploy2/evaluate_push",
  "/api/deploy2/wait_for_schema",
  "/api/deploy2/report_push_completed",
  "/api/query",
  "/api/shapes2",
]);

/** The write that a call is, or null when it only reads. */
export function writeOf(plane: Plane, method: string, path: string, body: Buffer): string | null {
  if (method === "GET" || method === "HEAD" || method === "OPTIONS") return null;
  if (plane === "convex") {
    if (path === "/api/function") {
      const name = (JSON.parse(body.toString()) as { path: string }).path;
      return READS.has(name) ? null : `function ${name}`;
    }
    if (ASKS.has(path)) return null;
  }
  if (plane === "fly" && path.endsWith("/graphql")) {
    const { query } = JSON.parse(body.toString()) as { query: string };
    const [mutation] = /^\s*mutation\s+\w+/.exec(query) ?? [];
    return mutation?.trim() ?? null;
  }
  return `${method} ${path.split("?")[0]}`;
}

export class Gates {
  /** How many calls of any kind came. */
  calls = 0;
  /** Every write that came, also those that were refused. */
  readonly writes: Write[] = [];
  /** Decides about each write. */
  effect: (write: Write) => Effect = () => "pass";
  /** Ends the engine: called once for a write whose effect is stopBefore or stopAfter. */
  stop: () => void = () => undefined;
  readonly #servers: Server[] = [];
  readonly #byOrigin = new Map<string, string>();

  /** The cloud as the stack is to see it: every address of the engine's own calls leads through a gate. */
  async through<T extends Cloud>(cloud: T): Promise<T> {
    const convex = await this.#open("convex", cloud.convex.url);
    const fly = await this.#open("fly", cloud.fly.url);
    const graphql = await this.#open("fly", new URL(cloud.fly.graphqlUrl).origin);
    return {
      ...cloud,
      convex: { ...cloud.convex, url: convex },
      fly: {
        ...cloud.fly,
        url: fly,
        graphqlUrl: `${graphql}${new URL(cloud.fly.graphqlUrl).pathname}`,
      },
    };
  }

  /** Counts from 1 again and lets everything pass. */
  reset(): void {
    this.calls = 0;
    this.writes.length = 0;
    this.effect = () => "pass";
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map(async (server) => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }),
    );
  }

  async #open(plane: Plane, origin: string): Promise<string> {
    const known = this.#byOrigin.get(origin);
    if (known) return known;
    const server = createServer((incoming, outgoing) => {
      const drop = (): void => void incoming.socket.destroy();
      void (async () => {
        const body = await buffer(incoming);
        this.calls += 1;
        const method = incoming.method ?? "GET";
        const path = incoming.url ?? "/";
        const effect = this.#judge(writeOf(plane, method, path, body), plane);
        if (effect === "refuse") {
          outgoing.writeHead(500, { "content-type": "application/json" });
          outgoing.end(JSON.stringify({ error: "injected refusal", message: "injected refusal" }));
          return;
        }
        if (effect === "stopBefore") {
          this.stop();
          drop();
          return;
        }
        const answer = await forward(origin, incoming, body);
        if (effect === "stopAfter") this.stop();
        if (effect !== "pass") {
          drop();
          return;
        }
        outgoing.writeHead(answer.status, answer.headers).end(answer.body);
      })().catch(drop);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#servers.push(server);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#byOrigin.set(origin, url);
    return url;
  }

  #judge(what: string | null, plane: Plane): Effect {
    if (what === null) return "pass";
    const write = { nth: this.writes.length + 1, plane, what };
    this.writes.push(write);
    return this.effect(write);
  }
}
