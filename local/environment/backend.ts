/** Calls of the backend's operator functions over HTTP with the admin key, as `npx convex run` makes them. */
import { readFileSync } from "node:fs";
import { request } from "undici";

export interface Backend {
  /** @throws Error with the function's own message. */
  run<T>(path: string, args?: Record<string, unknown>): Promise<T>;
}

export function backendAt(convex: { url: string; adminKeyFile: string }): Backend {
  return {
    async run<T>(path: string, args: Record<string, unknown> = {}): Promise<T> {
      const response = await request(`${convex.url}/api/function`, {
        method: "POST",
        headers: {
          authorization: `Convex ${readFileSync(convex.adminKeyFile, "utf8").trim()}`,
          "content-type": "application/json",
        },
        body: JSON.stringify({ path, args, format: "json" }),
        signal: AbortSignal.timeout(60_000),
      });
      const body = (await response.body.json()) as { status: string; value: T; errorMessage?: string };
      if (body.status !== "success")
        throw new Error(`${path} failed: ${body.errorMessage ?? response.statusCode}`);
      return body.value;
    },
  };
}
