import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { RuntimeThread } from "./runtimeThread.ts";
import { Authenticator, loadAdminKey } from "./wire/auth.ts";
import { Cloud } from "./wire/cloud.ts";
import { Site } from "./wire/site.ts";
import { SyncServer } from "./wire/sync/socket.ts";

/** Longer than clients keep idle connections, so that they and not the server give them up. */
const KEEP_ALIVE_MS = 65_000;
const HOST = "127.0.0.1";

export interface ConvexOptions {
  /** Folder that holds everything durable; created when missing. */
  readonly state: string;
  /** Port of the deployment URL; 0 picks a free one. */
  readonly cloudPort?: number;
  /** Port of the HTTP actions; 0 picks a free one. */
  readonly sitePort?: number;
  /** File that holds the admin key, created on first use. Default: `admin.key` under the state folder. */
  readonly adminKeyFile?: string;
  /** Longest wall-clock time of a query or mutation, in milliseconds. Default 5000, as the machine may be busy. */
  readonly functionTimeoutMs?: number;
  /** Longest wall-clock time of an action, in milliseconds. Default 10 minutes, as on Convex. */
  readonly actionTimeoutMs?: number;
  /** How often sync sockets are pinged, in milliseconds. Default 15000. */
  readonly pingMs?: number;
}

export interface RunningConvex {
  readonly url: string;
  readonly siteUrl: string;
  readonly adminKeyFile: string;
  /** Stops serving and closes the database. */
  close(): Promise<void>;
}

async function listen(server: Server, port: number, flag: string): Promise<string> {
  await new Promise<void>((done, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const busy = error.code === "EADDRINUSE";
      fail(
        busy
          ? new Error(
              `Port ${port} is already in use: give another one with ${flag}, or 0 for any free port.`,
            )
          : error,
      );
    });
    server.listen(port, HOST, done);
  });
  return `http://${HOST}:${(server.address() as AddressInfo).port}`;
}

/** Starts a Convex deployment on loopback: the deployment URL, the HTTP actions' port, and the runtime behind them. */
export async function startConvex(options: ConvexOptions): Promise<RunningConvex> {
  const state = resolve(options.state);
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const adminKeyFile = resolve(options.adminKeyFile ?? join(state, "admin.key"));
  const authenticator = new Authenticator(loadAdminKey(adminKeyFile));

  const cloudServer = createServer();
  const siteServer = createServer();
  const url = await listen(cloudServer, options.cloudPort ?? 0, "--cloud-port");
  const siteUrl = await listen(siteServer, options.sitePort ?? 0, "--site-port").catch((error: unknown) => {
    cloudServer.close();
    throw error;
  });
  const runtime = new RuntimeThread({
    state,
    cloudUrl: url,
    siteUrl,
    functionTimeoutMs: options.functionTimeoutMs ?? 5_000,
    actionTimeoutMs: options.actionTimeoutMs ?? 10 * 60_000,
  });
  const cloud = new Cloud({ runtime, authenticator, state, urls: () => ({ cloudUrl: url, siteUrl }) });
  const site = new Site(runtime, () => siteUrl);
  const sync = new SyncServer(runtime, authenticator, options.pingMs ?? 15_000);
  cloudServer.on("request", (request, response) => void cloud.serve(request, response));
  cloudServer.on("upgrade", (request, socket, head) => sync.upgrade(request, socket, head));
  siteServer.on("request", (request, response) => void site.serve(request, response));

  for (const server of [cloudServer, siteServer]) server.keepAliveTimeout = KEEP_ALIVE_MS;

  const close = async (): Promise<void> => {
    sync.close();
    for (const server of [cloudServer, siteServer]) {
      server.close();
      server.closeAllConnections();
    }
    await runtime.stop();
  };
  try {
    await runtime.start();
    await sync.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { url, siteUrl, adminKeyFile, close };
}
