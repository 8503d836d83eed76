import * as z from "zod";
import { parseInput } from "../errors.ts";
import { type AppCall, type Route, ok } from "../http/route.ts";
import { parseGoDuration } from "../duration.ts";
import {
  createMachineSchema,
  goDuration,
  stopSignalSchema,
  stopTimeoutSchema,
  updateMachineSchema,
} from "./configSchema.ts";
import type { MachineWriter } from "./createMachine.ts";
import type { MachineAccess } from "./machineAccess.ts";
import type { MachineEngine } from "./machineEngine.ts";
import type { StopRequest } from "./machineRunner.ts";
import { encodeCursor, pageOf, parseListQuery, rowsFor } from "./machineList.ts";
import type { MachineStore } from "./machineStore.ts";
import { eventView, machineView, orgMachineView } from "./machineView.ts";
import { FlyError, invalidArgument } from "../errors.ts";
import type { AppStore } from "../apps/appStore.ts";

export const MACHINES = "/v1/apps/:app/machines";
export const MACHINE = `${MACHINES}/:machine`;
const EVENTS_MAX = 100;

const stopBody = z
  .object({ signal: stopSignalSchema.optional(), timeout: stopTimeoutSchema.optional() })
  .optional();
const signalBody = z.object({
  signal: z.enum([
    "SIGABRT",
    "SIGALRM",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGKILL",
    "SIGPIPE",
    "SIGQUIT",
    "SIGSEGV",
    "SIGTERM",
    "SIGTRAP",
    "SIGUSR1",
    "SIGUSR2",
  ]),
});

export interface MachineRouteParts {
  apps: AppStore;
  store: MachineStore;
  engine: MachineEngine;
  writer: MachineWriter;
  access: MachineAccess;
  pageSizeMax: number;
  orgListDelayMs: number;
  now: () => number;
}

/** Create, list, read, update, start, stop, suspend, restart, signal, cordon, destroy, events, versions. */
export function machineRoutes(parts: MachineRouteParts): Route[] {
  const { store, engine, writer, access, now } = parts;
  const done = ok({ ok: true });

  /** A POST without JSON that moves a machine. */
  const move = (operation: string, verb: string, act: (call: AppCall) => unknown): Route => ({
    operation,
    method: "POST",
    path: `${MACHINE}/${verb}`,
    access: "app",
    handle: (call) => ok(act(call) ?? done.body),
  });

  const stopRequest = (call: AppCall): StopRequest => {
    const body = parseInput(stopBody, call.body);
    return { signal: body?.signal, timeoutMs: parseGoDuration(body?.timeout ?? "") ?? undefined };
  };
  const restartRequest = (call: AppCall): StopRequest => {
    const query = parseInput(
      z.object({ signal: stopSignalSchema.optional(), timeout: goDuration.optional() }),
      Object.fromEntries(call.query),
    );
    return { signal: query.signal, timeoutMs: parseGoDuration(query.timeout ?? "") ?? undefined };
  };

  return [
    {
      operation: "Machines_create",
      method: "POST",
      path: MACHINES,
      access: "app",
      handle: async (call) => {
        const record = await writer.create(
          call.app,
          call.principal,
          parseInput(createMachineSchema, call.body),
        );
        return ok(machineView(record, store, { nonce: record.lease?.nonce }));
      },
    },
    {
      operation: "Machines_list",
      method: "GET",
      path: MACHINES,
      access: "app",
      handle: (call) => {
        const query = parseListQuery(call.query, parts.pageSizeMax, now());
        if (call.emptyPage) return ok([], { "fly-next-cursor": encodeCursor(query.afterSeq, now()) });
        const { records, nextSeq } = pageOf(store.page(call.app.name, query.afterSeq, rowsFor(query)), query);
        const options = { summary: query.summary, includeLease: query.includeLeases };
        return ok(
          records.map((record) => machineView(record, store, options)),
          nextSeq === null ? undefined : { "fly-next-cursor": encodeCursor(nextSeq, now()) },
        );
      },
    },
    {
      operation: "Machines_org_list",
      method: "GET",
      path: "/v1/orgs/:org/machines",
      access: "org",
      handle: (call) => {
        if (call.params["org"] !== call.principal.org)
          throw new FlyError(403, "token does not cover that organization");
        const query = parseListQuery(call.query, parts.pageSizeMax, now());
        const settledBeforeMs = now() - parts.orgListDelayMs;
        const rows = parts.apps
          .list(call.principal.org)
          .flatMap((app) => store.page(app.name, query.afterSeq, rowsFor(query)));
        const visible = rows
          .filter((row) => row.record.createdAtMs <= settledBeforeMs)
          .sort((a, b) => a.seq - b.seq);
        const { records, nextSeq } = pageOf(visible, query);
        return ok({
          machines: records.map(orgMachineView),
          ...(nextSeq === null ? {} : { next_cursor: encodeCursor(nextSeq, now()) }),
        });
      },
    },
    {
      operation: "Machines_show",
      method: "GET",
      path: MACHINE,
      access: "app",
      handle: (call) => ok(machineView(access.readable(call), store)),
    },
    {
      operation: "Machines_update",
      method: "POST",
      path: MACHINE,
      access: "app",
      handle: async (call) => {
        const input = parseInput(updateMachineSchema, call.body);
        const record = await writer.update(call.app, call.principal, access.writable(call), input);
        return ok(machineView(record, store));
      },
    },
    {
      operation: "Machines_delete",
      method: "DELETE",
      path: MACHINE,
      access: "app",
      handle: (call) => {
        // flyctl's library sends `kill`, the documents say `force`.
        const force = call.query.get("force") === "true" || call.query.get("kill") === "true";
        engine.destroy(access.writable(call), force);
        return done;
      },
    },
    move("Machines_start", "start", (call) => {
      const record = access.writable(call);
      engine.start(record);
      return { previous_state: record.state, migrated: false, new_host: "" };
    }),
    move("Machines_stop", "stop", (call) => engine.stop(access.writable(call), stopRequest(call))),
    move("Machines_suspend", "suspend", (call) => {
      const record = access.writable(call);
      if ((record.config.init?.swap_size_mb ?? 0) > 0)
        throw invalidArgument("a machine with swap cannot be suspended");
      if (record.config.schedule !== undefined)
        throw invalidArgument("a scheduled machine cannot be suspended");
      engine.suspend(record);
    }),
    move("Machines_restart", "restart", (call) =>
      engine.restart(access.writable(call), restartRequest(call)),
    ),
    move("Machines_signal", "signal", (call) =>
      engine.signal(access.writable(call), parseInput(signalBody, call.body).signal),
    ),
    move(
      "Machines_cordon",
      "cordon",
      (call) => void engine.board.set(access.writable(call).id, { cordoned: true }),
    ),
    move(
      "Machines_uncordon",
      "uncordon",
      (call) => void engine.board.set(access.writable(call).id, { cordoned: false }),
    ),
    {
      operation: "Machines_list_events",
      method: "GET",
      path: `${MACHINE}/events`,
      access: "app",
      handle: (call) => {
        const limit = Math.min(
          Math.max(1, Number(call.query.get("limit") ?? EVENTS_MAX) || EVENTS_MAX),
          EVENTS_MAX,
        );
        return ok(store.events(access.readable(call).id, limit).map(eventView));
      },
    },
    {
      operation: "Machines_list_versions",
      method: "GET",
      path: `${MACHINE}/versions`,
      access: "app",
      handle: (call) =>
        ok(
          store
            .versions(access.readable(call).id)
            .map(({ version, config }) => ({ version, user_config: config })),
        ),
    },
  ];
}
