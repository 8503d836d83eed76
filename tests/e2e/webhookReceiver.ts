/** A consumer's webhook receiver, which checks signatures and may be out of order for a while. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { verifyWebhook, type WebhookEvent } from "../../runtime/client/src/index.ts";

export interface Delivery {
  event: WebhookEvent;
  /** What it was answered with. */
  status: number;
}

export interface WebhookReceiver {
  url: string;
  /** Deliveries whose signature was right, in order. */
  deliveries: Delivery[];
  /** Why the others were refused. */
  refused: string[];
  /** The endpoint's secret, once it is known. */
  trust(signingSecret: string): void;
  close(): Promise<void>;
}

/** @param statuses answers to the first deliveries; 200 to all after them. */
export async function startWebhookReceiver(statuses: number[]): Promise<WebhookReceiver> {
  const deliveries: Delivery[] = [];
  const refused: string[] = [];
  let secret = "";
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      verifyWebhook(secret, request.headers, Buffer.concat(parts)).then(
        (event) => {
          const status = statuses.shift() ?? 200;
          deliveries.push({ event, status });
          response.writeHead(status).end();
        },
        (error: unknown) => {
          refused.push(String(error));
          response.writeHead(400).end();
        },
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`,
    deliveries,
    refused,
    trust: (signingSecret) => (secret = signingSecret),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
