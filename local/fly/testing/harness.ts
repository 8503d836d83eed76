import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FlyOptions } from "../options.ts";
import { type Fly, startFly } from "../server.ts";
import { pushImage, type TestImage } from "./image.ts";
import { responseValidator } from "./openapi.ts";

export interface Reply {
  status: number;
  // A test reads answers it has just had validated against the OpenAPI document.
  // oxlint-disable-next-line no-explicit-any
  body: any;
  headers: Headers;
}

export type Request = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Reply>;

export interface Harness {
  fly: Fly;
  stateDir: string;
  /** Calls the API with the organization's token; every answer under /v1 is checked against the OpenAPI document. */
  call: Request;
  callAs: (token: string | null) => Request;
  graphql: (query: string, variables?: Record<string, unknown>, token?: string) => Promise<Reply>;
  push: (app: string, tag: string, image: TestImage) => Promise<string>;
  /** An app with one image; returns the image reference by digest. */
  appWithImage: (app: string, image: TestImage) => Promise<string>;
  /** Polls until the machine is in the state; fails after 15 s with the state it was in. */
  until: (app: string, machine: string, state: string) => Promise<Reply>;
  logs: (app: string, machine: string) => Promise<string>;
  close: () => Promise<void>;
}

const validate = await responseValidator();

/** Checks an answer against the OpenAPI document; throws with every defect. */
export function expectValid(method: string, path: string, reply: Pick<Reply, "status" | "body">): void {
  if (!path.startsWith("/v1/") || reply.status === 501) return;
  const defects = validate(method, path.split("?")[0] ?? path, reply.status, reply.body);
  if (defects.length > 0)
    throw new Error(`${method} ${path} is not what the OpenAPI document says: ${defects.join("; ")}`);
}

export function requestTo(base: () => string, token: string | null): Request {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(base() + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") === true;
    const reply = {
      status: response.status,
      body: text === "" ? undefined : isJson ? (JSON.parse(text) as unknown) : text,
      headers: response.headers,
    };
    expectValid(method, path, reply);
    return reply;
  };
}

/** An emulator in this process with a state folder of its own; rate limit off unless asked for. */
export async function startHarness(options: Partial<FlyOptions> = {}): Promise<Harness> {
  const stateDir = mkdtempSync(join(tmpdir(), "fly-test-"));
  const log = (): void => undefined;
  const fly = await startFly({ stateDir, rateLimit: false, transientMs: 10, log, ...options });
  const callAs = (token: string | null): Request => requestTo(() => fly.url, token);
  const call = callAs(fly.orgToken);
  const push = (app: string, tag: string, image: TestImage): Promise<string> =>
    pushImage(fly.registryUrl, app, fly.orgToken, tag, image);
  return {
    fly,
    stateDir,
    call,
    callAs,
    graphql: (query, variables = {}, token = fly.orgToken) =>
      requestTo(() => fly.url, token)("POST", "/graphql", { query, variables }),
    push,
    appWithImage: async (app, image) => {
      const created = await call("POST", "/v1/apps", { name: app, org_slug: "personal" });
      if (created.status !== 201) throw new Error(`app: ${JSON.stringify(created.body)}`);
      return `registry.fly.io/${app}@${await push(app, "latest", image)}`;
    },
    until: (app, machine, state) => expectState(call, app, machine, state),
    logs: async (app, machine) =>
      String((await call("GET", `/local/apps/${app}/machines/${machine}/logs`)).body ?? ""),
    close: async () => {
      await fly.close();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** Polls a machine until it is in the state. */
export async function expectState(
  call: Request,
  app: string,
  machine: string,
  state: string,
): Promise<Reply> {
  let seen = "";
  for (let i = 0; i < 600; i++) {
    const reply = await call("GET", `/v1/apps/${app}/machines/${machine}`);
    seen = reply.status === 200 ? String(reply.body.state) : `status ${reply.status}`;
    if (seen === state) return reply;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`machine ${machine} is ${seen}, expected ${state}`);
}

/** Waits until the check holds; fails after 10 s. */
export async function expectEventually(check: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("the awaited condition did not come true within 10 s");
}

/** A worker that runs until SIGTERM or SIGINT, then ends with 0; says what it sees. */
export const LONG_RUNNER: TestImage = {
  layers: [
    {
      "app/main.mjs": `
        import { writeFileSync } from "node:fs";
        console.log("ready", process.pid);
        for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => { console.log("got", name); process.exit(0); });
        setInterval(() => {}, 1000);
        writeFileSync(process.env.DATA_DIR + "/seen", String(process.pid));
      `,
    },
  ],
  entrypoint: ["node"],
  cmd: ["main.mjs"],
  workingDir: "/app",
};
