import * as z from "zod";
import { invalidArgument, notFound, parseInput } from "../errors.ts";
import { type AppCall, type Route, ok } from "../http/route.ts";
import { NONCE_HEADER, currentLease, releasableLease, takeLease } from "./leases.ts";
import type { MachineAccess } from "./machineAccess.ts";
import type { MachineEngine } from "./machineEngine.ts";
import { MACHINE } from "./machineRoutes.ts";
import { leaseView } from "./machineView.ts";

const TTL_SECONDS_DEFAULT = 60;
const leaseBody = z
  .object({ ttl: z.number().int().min(1).optional(), description: z.string().max(1_000).optional() })
  .optional();

export function leaseRoutes(engine: MachineEngine, access: MachineAccess, now: () => number): Route[] {
  const path = `${MACHINE}/lease`;
  const nonceOf = (call: AppCall): string | null => call.headers.get(NONCE_HEADER);
  return [
    {
      operation: "Machines_show_lease",
      method: "GET",
      path,
      access: "app",
      handle: (call) => {
        const lease = currentLease(access.readable(call), now());
        if (lease === null) throw notFound("lease not found");
        return ok(leaseView(lease));
      },
    },
    {
      operation: "Machines_create_lease",
      method: "POST",
      path,
      access: "app",
      handle: (call) => {
        const body = parseInput(leaseBody, call.body);
        // The document puts ttl into the body, fly-go into the query.
        const ttlSeconds = body?.ttl ?? Number(call.query.get("ttl") ?? TTL_SECONDS_DEFAULT);
        if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)
          throw invalidArgument("ttl: must be whole seconds");
        const record = access.writable(call);
        const request = {
          ttlSeconds,
          description: body?.description ?? "",
          owner: call.principal.tokenId,
          nonce: nonceOf(call),
        };
        const lease = takeLease(record, request, now());
        engine.board.set(record.id, { lease });
        return { status: 201, body: leaseView(lease) };
      },
    },
    {
      operation: "Machines_release_lease",
      method: "DELETE",
      path,
      access: "app",
      handle: (call) => {
        const record = access.readable(call);
        releasableLease(record, nonceOf(call), now());
        engine.board.set(record.id, { lease: null });
        return ok();
      },
    },
  ];
}
