import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import type { Context } from "hono";
import type { AppStore } from "../apps/appStore.ts";
import type { Env, Gateway } from "../http/gateway.ts";
import type { TokenStore } from "../tokens/tokenStore.ts";
import type { BlobStore } from "./blobStore.ts";
import type { ImageStore } from "./imageStore.ts";
import type { ManifestStore } from "./manifestStore.ts";

/** An error of the distribution protocol: its code is what clients switch on. */
export class RegistryError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export interface RegistryParts {
  apps: AppStore;
  tokens: TokenStore;
  blobs: BlobStore;
  manifests: ManifestStore;
  images: ImageStore;
  gateway: Gateway;
  now: () => number;
  log: (line: string) => void;
}

export interface RegistryCall {
  context: Context<Env>;
  repository: string;
  params: Record<string, string>;
  query: URLSearchParams;
  /** Whether the caller's token reaches another repository, for mounting a blob from there. */
  covers: (repository: string) => boolean;
}

export interface RegistryRoute {
  operation: string;
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  handle: (call: RegistryCall) => Response | Promise<Response>;
}

/** Streams a stored blob. */
export function fileBody(path: string): ReadableStream {
  return Readable.toWeb(createReadStream(path)) as ReadableStream;
}
