import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Env } from "./gateway.ts";

export interface Listener {
  /** `127.0.0.1:<port>` */
  host: string;
  close: () => Promise<void>;
}

/** Serves on the loopback interface only. A busy port is an error that names the port and the flag. */
export async function listen(app: Hono<Env>, port: number, flag: string): Promise<Listener> {
  // createAdaptorServer makes a plain HTTP/1 server unless told otherwise.
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  // Image layers take longer than the five minutes Node grants a request by default.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const busy = error.code === "EADDRINUSE";
      reject(
        busy
          ? new Error(`port ${port} is already in use; choose another with ${flag}`, { cause: error })
          : error,
      );
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${actual}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
