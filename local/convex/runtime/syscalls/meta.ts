import { FunctionError } from "../../engine/errors.ts";
import { transactionOf, type CallContext } from "../context.ts";
import type { Deployment } from "../deployment.ts";

/** Syscalls about the call itself: who calls, what runs, what it has used. */
export function metaSyscalls(deployment: Deployment) {
  return {
    "1.0/getUserIdentity": (context: CallContext): string => JSON.stringify(context.caller.identity),
    "1.0/getFunctionMetadata": (context: CallContext): string =>
      JSON.stringify({ name: context.path, componentPath: "" }),
    "1.0/getRequestMetadata": ({ request }: CallContext): string =>
      JSON.stringify({
        ip: request.ip,
        userAgent: request.userAgent,
        requestId: request.id,
        scheduledFunctionId: request.scheduledFunctionId,
        authToken: null,
      }),
    "1.0/getDeploymentMetadata": (): string =>
      JSON.stringify({ name: deployment.name, region: null, class: "s16" }),
    "1.0/getTransactionMetrics": (context: CallContext): string =>
      JSON.stringify(transactionOf(context).meter.report()),
    // Audit streams go to a customer's log sink on Convex; here there is none to write to.
    "1.0/auditLog": (): string => "null",
    "1.0/signJwt": (): string => {
      throw new FunctionError("The local Convex deployment cannot sign JWTs.");
    },
    "1.0/createServiceToken": (): string => {
      throw new FunctionError("The local Convex deployment has no Convex-managed services.");
    },
    "1.0/getServiceUrl": (): string => {
      throw new FunctionError("The local Convex deployment has no Convex-managed services.");
    },
  };
}
