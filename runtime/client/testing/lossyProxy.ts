/** A way to the API on which answers are lost: each request arrives and is carried out, and its connection then ends. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface LossyProxy {
  url: string;
  /** Idempotency keys of the requests that arrived, in order; null for one without. */
  readonly keys: Array<string | null>;
  /** Loses the answers of the next requests. */
  lose(answers: number): void;
  close(): Promise<void>;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

/** @param target origin of the deployment's site */
export async function startLossyProxy(target: string): Promise<LossyProxy> {
  const keys: Array<string | null> = [];
  let losing = 0;

  async function forward(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const headers = new Headers();
    for (const name of ["authorization", "content-type", "idempotency-key"]) {
      const value = request.headers[name];
      if (typeof value === "string") headers.set(name, value);
    }
    keys.push(headers.get("idempotency-key"));
    const body = await readBody(request);
    const init = { method: request.method ?? "GET", headers, ...(body === "" ? {} : { body }) };
    const answer = await fetch(`${target}${request.url}`, init);
    return { status: answer.status, body: await answer.text() };
  }

  const server = createServer((request, response) => {
    const lost = losing > 0;
    if (lost) losing -= 1;
    forward(request).then(
      ({ status, body }) => {
        if (lost) response.destroy();
        else response.writeHead(status, { "content-type": "application/json" }).end(body);
      },
      () => response.destroy(),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keys,
    lose(answers) {
      losing = answers;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
