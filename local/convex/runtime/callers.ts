import { randomUUID } from "node:crypto";
import type { Caller, RequestInfo } from "./protocol.ts";

/** The scheduler and the crons: no user, and no admin rights beyond calling internal functions. */
export const SYSTEM_CALLER: Caller = { admin: false, identity: null };

/** Request information for a call that no HTTP request caused. */
export function systemRequest(scheduledFunctionId: string | null): RequestInfo {
  return { id: randomUUID().slice(0, 16), ip: null, userAgent: null, scheduledFunctionId };
}
