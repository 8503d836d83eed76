/** A deployment in process: it answers operator functions as a test says and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Call {
  name: string;
  args: Record<string, unknown>;
}

/** What a function does: a value to return, or a refusal in the deployment's own form. */
export type Behaviour = (args: Record<string, unknown>) => unknown;

/** Throw it from a behaviour to answer as a FactoryError does. */
export class Refused extends Error {
  readonly data: { code: string; kind: string; message: string };
  constructor(code: string, message: string) {
    super(message);
    this.data = { code, kind: "permanent", message };
  }
}

export interface FakeDeployment {
  url: string;
  adminKey: string;
  calls: Call[];
  /** Every request's body and headers as text, for what must never be in them. */
  bodies: string[];
  on(name: string, behaviour: Behaviour): void;
  /** Acts on the next requests and loses their answers. */
  lose(answers: number): void;
  /** Serves any other path, for example the webhook. */
  onRequest(serve: (request: IncomingMessage, body: string) => { status: number; body: string } | null): void;
  close(): Promise<void>;
}

export const FAKE_ADMIN_KEY = "fake|0123456789abcdef";

export async function startFakeDeployment(): Promise<FakeDeployment> {
  const behaviours = new Map<string, Behaviour>();
  const calls: Call[] = [];
  const bodies: string[] = [];
  let losing = 0;
  let other: Parameters<FakeDeployment["onRequest"]>[0] = () => null;

  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      bodies.push(body);
      const served = other(request, body);
      if (served !== null) return send(response, served.status, served.body);
      if (request.url !== "/api/function") return send(response, 404, "<html>not here</html>");
      if (request.headers.authorization !== `Convex ${FAKE_ADMIN_KEY}`) {
        return send(
          response,
          401,
          JSON.stringify({
            code: "BadAdminKey",
            message: "The provided admin key was invalid for this instance",
          }),
        );
      }
      const { path, args } = JSON.parse(body) as { path: string; args: Record<string, unknown> };
      const name = path.replace(/^factory:/, "");
      calls.push({ name, args });
      if (losing > 0) {
        losing -= 1;
        response.destroy();
        return;
      }
      return answer(response, path, behaviours.get(name), args);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    adminKey: FAKE_ADMIN_KEY,
    calls,
    bodies,
    lose: (answers) => void (losing = answers),
    on: (name, behaviour) => void behaviours.set(name, behaviour),
    onRequest: (serve) => void (other = serve),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(
  response: ServerResponse,
  path: string,
  behaviour: Behaviour | undefined,
  args: Record<string, unknown>,
): void {
  if (behaviour === undefined) {
    send(
      response,
      560,
      JSON.stringify({
        status: "error",
        errorMessage: `Could not find function for '${path}'.`,
        logLines: [],
      }),
    );
    return;
  }
  try {
    send(response, 200, JSON.stringify({ status: "success", value: behaviour(args) ?? null, logLines: [] }));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const errorData = error instanceof Refused ? { errorData: error.data } : {};
    send(
      response,
      560,
      JSON.stringify({ status: "error", errorMessage: error.message, logLines: [], ...errorData }),
    );
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "content-type": "application/json" }).end(body);
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}
