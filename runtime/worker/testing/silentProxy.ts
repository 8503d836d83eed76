/**
 * A TCP proxy on loopback that can go silent: what it has accepted stays open and is read, and nothing of it
 * arrives, as on a path whose middle has forgotten the connection. A connection that was open while it was silent
 * never speaks again, also after the network is back.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class SilentProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ sockets: [Socket, Socket]; silent: boolean }>();
  #silent = false;
  #heardAt = 0;
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(targetPort: number): Promise<SilentProxy> {
    const server = createServer();
    const proxy = new SilentProxy(server);
    server.on("connection", (near) => proxy.#join(near, connect(targetPort, "127.0.0.1")));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Whether nobody has said anything for half a second: no call is under way. */
  isQuiet(): boolean {
    return performance.now() - this.#heardAt > 500;
  }

  /** From now on nothing passes, on old connections and on new ones. */
  mute(): void {
    this.#silent = true;
    for (const pair of this.#pairs) pair.silent = true;
  }

  /** New connections pass again; those of the silent time stay silent. */
  heal(): void {
    this.#silent = false;
  }

  async close(): Promise<void> {
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near: Socket, far: Socket): void {
    this.accepted += 1;
    const pair = { sockets: [near, far] as [Socket, Socket], silent: this.#silent };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (data) => {
        this.#heardAt = performance.now();
        if (!pair.silent) to.write(data);
      });
      // A silent path does not tell one end that the other has left either.
      from.on("close", () => {
        if (!pair.silent) to.destroy();
        if (near.destroyed) this.#pairs.delete(pair);
      });
      from.on("error", () => from.destroy());
    }
  }
}
