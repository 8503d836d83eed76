import * as z from "zod";
import { failedPrecondition, notFound, parseInput } from "../errors.ts";
import { type AppCall, type Answer, type Route, ok } from "../http/route.ts";
import type { MachineAccess } from "./machineAccess.ts";
import type { MachineEngine } from "./machineEngine.ts";
import { MACHINE } from "./machineRoutes.ts";
import type { MachineRecord } from "./record.ts";

const value = z.string().max(4_096);
const mergeBody = z.object({
  metadata: z.record(z.string(), value.nullable()),
  machine_version: z.string().optional(),
});
const valueBody = z.object({ value });
const NO_CONTENT: Answer = { status: 204 };

/** The map after a patch: null and the empty string remove a key. */
export function mergeMetadata(
  before: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const merged: Record<string, string | null> = { ...before, ...patch };
  return Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== null && entry[1] !== ""),
  );
}

/** Metadata is part of the config but changes without a new version and without a restart. */
export function metadataRoutes(engine: MachineEngine, access: MachineAccess): Route[] {
  const path = `${MACHINE}/metadata`;
  const mapOf = (record: MachineRecord): Record<string, string> => record.config.metadata ?? {};
  const patch = (record: MachineRecord, change: Record<string, string | null>): void => {
    engine.board.set(record.id, {
      config: { ...record.config, metadata: mergeMetadata(mapOf(record), change) },
    });
  };
  const merge = (call: AppCall): Answer => {
    const body = parseInput(mergeBody, call.body);
    const record = access.writable(call);
    if (body.machine_version !== undefined && body.machine_version !== record.instanceId) {
      throw failedPrecondition(`machine_version: machine is at ${record.instanceId}`);
    }
    patch(record, body.metadata);
    return NO_CONTENT;
  };
  const keyOf = (call: AppCall): string => call.params["key"] ?? "";
  return [
    {
      operation: "Machines_show_metadata",
      method: "GET",
      path,
      access: "app",
      handle: (call) => ok(mapOf(access.readable(call))),
    },
    { operation: "Machines_patch_metadata", method: "PATCH", path, access: "app", handle: merge },
    // PUT is deprecated and, against its name, does not replace either.
    { operation: "Machines_update_metadata", method: "PUT", path, access: "app", handle: merge },
    {
      operation: "Machines_get_metadata_key",
      method: "GET",
      path: `${path}/:key`,
      access: "app",
      handle: (call) => {
        const found = mapOf(access.readable(call))[keyOf(call)];
        if (found === undefined) throw notFound(`metadata key '${keyOf(call)}' not found`);
        return ok({ value: found });
      },
    },
    {
      operation: "Machines_upsert_metadata",
      method: "POST",
      path: `${path}/:key`,
      access: "app",
      handle: (call) => {
        const body = parseInput(valueBody, call.body);
        patch(access.writable(call), { [keyOf(call)]: body.value });
        return NO_CONTENT;
      },
    },
    {
      operation: "Machines_delete_metadata",
      method: "DELETE",
      path: `${path}/:key`,
      access: "app",
      handle: (call) => {
        patch(access.writable(call), { [keyOf(call)]: null });
        return NO_CONTENT;
      },
    },
  ];
}
