/** Prometheus text, on a loopback port and only when one is configured. */
import { createServer, type Server } from "node:http";
import type { Metric } from "./metrics.ts";

/** The text format, version 0.0.4. */
export function renderPrometheus(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, kind, help, points }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${kind}`,
    ...points.map(({ labels, value }) => `${name}${renderLabels(labels)} ${value}`),
  ]);
  return `${lines.join("\n")}\n`;
}

/** Label values are this worker's own words, so that none needs escaping. */
function renderLabels(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Serves `GET /metrics` on 127.0.0.1. */
export async function serveMetrics(port: number, render: () => string): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(render());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  server.unref();
  return server;
}
