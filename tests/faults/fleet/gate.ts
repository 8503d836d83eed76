/** A TCP proxy in front of a service, which can be shut (connections refused) or gone silent (half-open). */
import { once } from "node:events";
import { createServer, type AddressInfo, connect, type Server, type Socket } from "node:net";

export class Gate {
  readonly url: string;
  readonly #server: Server;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #silent = false;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** @param target URL of the service behind the gate. */
  static async open(target: string): Promise<Gate> {
    const { hostname, port } = new URL(target);
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const gate = new Gate(server, (server.address() as AddressInfo).port);
    server.on("connection", (caller) => gate.#join(caller, connect(Number(port), hostname)));
    return gate;
  }

  #join(caller: Socket, service: Socket): void {
    for (const [socket, other] of [
      [caller, service],
      [service, caller],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.on("data", (bytes) => {
        // A silent line stays silent: what it swallowed never arrives.
        if (!this.#silent && !other.destroyed) other.write(bytes);
      });
    }
  }

  /** Nobody listens any more, and what was connected is cut. */
  async shut(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Takes connections and bytes, and never answers. */
  silence(): void {
    this.#silent = true;
  }

  /** Lets everything through again; connections that lived through a silence are cut, as by a rebooted router. */
  async reopen(): Promise<void> {
    if (this.#silent) for (const socket of this.#sockets) socket.destroy();
    this.#silent = false;
    if (this.#server.listening) return;
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    if (this.#server.listening) await this.shut();
  }
}
