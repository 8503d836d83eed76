import { Hono } from "hono";
import type { AppStore } from "../apps/appStore.ts";
import { FlyError, parseInput } from "../errors.ts";
import { type FaultBook, faultRuleSchema, faultRulesSchema } from "../faults/faultBook.ts";
import type { Env } from "../http/gateway.ts";
import { readJson } from "../http/requestBody.ts";
import type { MachineFolders } from "../machines/folders.ts";
import type { MachineStore } from "../machines/machineStore.ts";
import { readMainPid } from "../machines/processes.ts";
import type { UsageBook } from "../machines/usage.ts";
import type { CallCounts } from "./callCounts.ts";

const BODY_BYTES_MAX = 1024 * 1024;
const TAIL_DEFAULT = 200;
const TAIL_MAX = 10_000;

export interface LocalParts {
  apps: AppStore;
  store: MachineStore;
  folders: MachineFolders;
  usage: UsageBook;
  counts: CallCounts;
  faults: FaultBook;
  now: () => number;
}

/**
 * What Fly does not have: logs, processes, usage, call counts and faults, for tests, benches and people. Without a
 * token: whoever reaches this loopback socket under a loopback name may also read the state folder.
 */
export function mountLocal(parts: LocalParts): Hono<Env> {
  const local = new Hono<Env>();
  local.onError((error, context) => {
    if (error instanceof FlyError) return context.json(error.body(), error.status as 400);
    throw error;
  });
  local.get("/local/health", (context) => context.json({ ok: true }));
  local.get("/local/apps", (context) => context.json(parts.apps.all()));

  const machines = "/local/apps/:app/machines";
  local.get(machines, (context) =>
    context.json(
      parts.store.listOfApp(context.req.param("app")).map((record) => ({
        id: record.id,
        name: record.name,
        state: record.state,
        region: record.region,
        folder: parts.folders.of(record.id),
        // group: leader of the process group, the machine's init; main: the command itself.
        process:
          record.process === null
            ? null
            : { group: record.process.pid, main: readMainPid(parts.folders.of(record.id).run) },
      })),
    ),
  );
  local.get(`${machines}/:machine/logs`, (context) => {
    const record = parts.store.find(context.req.param("machine"));
    if (record === null || record.app !== context.req.param("app"))
      throw new FlyError(404, "machine not found");
    const asked = Number(context.req.query("tail") ?? TAIL_DEFAULT);
    const lines = Math.min(Math.max(1, Number.isInteger(asked) ? asked : TAIL_DEFAULT), TAIL_MAX);
    return context.text(
      parts.folders
        .tail(record.id, lines)
        .map((line) => `${line}\n`)
        .join(""),
    );
  });

  local.get("/local/usage", (context) => {
    const since = Number(context.req.query("since") ?? 0) || 0;
    const list = parts.usage.list(context.req.query("app"), since, parts.now());
    const machineSeconds = list.reduce((sum, entry) => sum + entry.seconds, 0);
    return context.json({ machineSeconds, machines: list });
  });

  local.get("/local/calls", (context) => {
    const calls = parts.counts.list(context.req.query("app"));
    return context.json({ total: calls.reduce((sum, entry) => sum + entry.count, 0), calls });
  });
  local.delete("/local/calls", (context) => {
    parts.counts.reset();
    return context.body(null, 204);
  });

  local.get("/local/faults", (context) => context.json(parts.faults.report()));
  local.post("/local/faults", async (context) => {
    const body = await readJson(context.req.raw, BODY_BYTES_MAX);
    const rules = Array.isArray(body)
      ? parseInput(faultRulesSchema, body)
      : [parseInput(faultRuleSchema, body)];
    return context.json({ ids: parts.faults.add(rules) }, 201);
  });
  local.delete("/local/faults", (context) => {
    parts.faults.clear();
    return context.body(null, 204);
  });
  local.delete("/local/faults/:id", (context) => {
    parts.faults.clear(context.req.param("id"));
    return context.body(null, 204);
  });
  return local;
}
