/**
 * The least of Fly's Machines API that makes the scaler content: machines exist as rows and run nothing, so that
 * a test can be every worker itself. Where machines matter, use the embedded Fly instead. It also answers the Bot
 * API's calls, since a test of the queue only counts them.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import * as z from "zod";

const createSchema = z.object({
  name: z.string(),
  region: z.string(),
  config: z.looseObject({ image: z.string(), metadata: z.record(z.string(), z.string()) }),
});

interface Machine extends z.output<typeof createSchema> {
  id: string;
  state: "started" | "stopped";
}

const BODY_BYTES_MAX = 1 << 20;

async function readBody(message: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new Error("request too large");
    chunks.push(chunk);
  }
  return size === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as unknown);
}

export class MachinesApi {
  readonly url: string;
  /** Calls of the Bot API's send methods. */
  sent = 0;
  readonly #server: Server;
  readonly #machines = new Map<string, Machine>();
  readonly #network: string;

  private constructor(server: Server, url: string, network: string) {
    this.#server = server;
    this.url = url;
    this.#network = network;
  }

  /** @param network of the one app that every path means: the mark of its owner. */
  static async start(network: string): Promise<MachinesApi> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const api = new MachinesApi(server, `http://127.0.0.1:${port}`, network);
    server.on("request", (message, response) => {
      void api.#answer(message).then(
        ({ status, body }) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(JSON.stringify(body));
        },
        (error: unknown) => response.writeHead(400).end(String(error)),
      );
    });
    return api;
  }

  async #answer(message: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const { pathname } = new URL(message.url ?? "/", this.url);
    const body = await readBody(message);
    if (pathname.startsWith("/bot")) {
      this.sent += 1;
      return { status: 200, body: { ok: true, result: { message_id: this.sent } } };
    }
    const [, , , app, kind, id, act] = pathname.split("/");
    if (kind === undefined) return { status: 200, body: { name: app, network: this.#network } };
    if (kind !== "machines") return { status: 200, body: [] };
    if (id === undefined && message.method === "GET")
      return { status: 200, body: [...this.#machines.values()] };
    if (id === undefined) return { status: 200, body: this.#create(createSchema.parse(body)) };
    const machine = this.#machines.get(id);
    if (machine === undefined) return { status: 404, body: { error: "machine not found" } };
    if (message.method === "DELETE") this.#machines.delete(id);
    if (act === "stop" || act === "suspend") machine.state = "stopped";
    if (act === "start") machine.state = "started";
    return { status: 200, body: machine };
  }

  #create(asked: z.output<typeof createSchema>): Machine {
    const machine: Machine = {
      ...asked,
      id: (this.#machines.size + 0x148e_0000).toString(16),
      state: "started",
    };
    this.#machines.set(machine.id, machine);
    return machine;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
