import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A loopback HTTP server that answers until `close()`. */
export interface LoopbackServer {
  /** `http://127.0.0.1:<port>`, without a trailing slash. */
  url: string;
  port: number;
  /** Stops accepting, cuts what is still open and resolves once the port is free. */
  close(): Promise<void>;
}

/** A port that could not be opened; the message names the port and the flag that changes it. */
export class PortError extends Error {
  override name = "PortError";
}

/**
 * Serves a fetch handler on 127.0.0.1 only.
 *
 * @param port 0 asks the system for a free one.
 * @throws {PortError} when the port is busy or not allowed.
 */
export async function listenOnLoopback(
  fetch: (request: Request, bindings: HttpBindings) => Response | Promise<Response>,
  port: number,
): Promise<LoopbackServer> {
  // The adaptor's general handler type covers HTTP/2, which is never used here: the cast narrows it to HTTP/1.
  const server = createAdaptorServer({
    fetch: (request, bindings) => fetch(request, bindings as HttpBindings),
    overrideGlobalObjects: false,
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(describePortError(error, port)));
    server.listen(port, "127.0.0.1", resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        // Long polls, hung requests and idle keep-alive connections would hold the port for minutes.
        server.closeAllConnections();
      }),
  };
}

function describePortError(error: NodeJS.ErrnoException, port: number): Error {
  if (error.code === "EADDRINUSE") {
    return new PortError(
      `Port ${port} of 127.0.0.1 is already in use. Choose another with --port <n>, or --port 0 for any free one.`,
    );
  }
  if (error.code === "EACCES") {
    return new PortError(
      `Port ${port} of 127.0.0.1 may not be opened by this user. Choose one above 1023 with --port <n>.`,
    );
  }
  return error;
}
