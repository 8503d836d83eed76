import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip } from "node:zlib";
import type * as z from "zod";
import { RequestError } from "../engine/errors.ts";
import type { RequestInfo } from "../runtime/protocol.ts";

const unbrotli = promisify(brotliDecompress);
const ungzip = promisify(gunzip);

/** Browsers may call from anywhere, as they may call a hosted deployment: access is by credential, not origin. */
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
  "access-control-allow-headers": "authorization, content-type, convex-client, digest, sha256",
  "access-control-max-age": "86400",
};

/** One HTTP request and its response, with the helpers that every route needs. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    this.url = new URL(request.url ?? "/", "http://localhost");
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  info(): RequestInfo {
    return {
      id: randomUUID().slice(0, 16),
      ip: this.request.socket.remoteAddress ?? null,
      userAgent: this.header("user-agent") ?? null,
      scheduledFunctionId: null,
    };
  }

  /** The whole body, decompressed. @param limit in bytes, before and after decompression */
  async body(limit: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit)
        throw new RequestError(413, "BodyTooLarge", `The request body is larger than ${limit} bytes.`);
      chunks.push(chunk);
    }
    const raw = Buffer.concat(chunks);
    const encoding = this.header("content-encoding");
    try {
      if (encoding === "br") return await unbrotli(raw, { maxOutputLength: limit });
      if (encoding === "gzip") return await ungzip(raw, { maxOutputLength: limit });
    } catch {
      throw new RequestError(
        400,
        "BadContentEncoding",
        `The request body is not valid ${encoding} or larger than ${limit} bytes.`,
      );
    }
    return raw;
  }

  /** The body as JSON of a known shape. */
  async json<Schema extends z.ZodType>(schema: Schema, limit: number): Promise<z.infer<Schema>> {
    const text = (await this.body(limit)).toString("utf8");
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new RequestError(400, "BadJsonBody", "The request body is not JSON.");
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new RequestError(
      400,
      "BadJsonBody",
      `The request body is malformed at ${issue?.path.join(".") || "its root"}: ${issue?.message}`,
    );
  }

  /** Sends JSON text. */
  send(status: number, json: string, headers: Record<string, string> = {}): void {
    this.response.writeHead(status, { ...CORS, "content-type": "application/json", ...headers });
    this.response.end(json);
  }

  sendJson(body: unknown): void {
    this.send(200, JSON.stringify(body));
  }

  sendPreflight(): void {
    this.response.writeHead(204, CORS);
    this.response.end();
  }

  /** Answers a failed request with Convex's `{code, message}`. */
  fail(error: unknown): void {
    if (this.response.headersSent) {
      this.response.destroy();
      return;
    }
    if (error instanceof RequestError) {
      this.send(error.status, JSON.stringify({ code: error.code, message: error.message }));
      return;
    }
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    this.send(
      500,
      JSON.stringify({
        code: "InternalServerError",
        message: "Your request couldn't be completed. Try again later.",
      }),
    );
  }
}
