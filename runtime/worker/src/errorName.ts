/** Which error it was, in words that no outsider chose: what may stand in a log line. */
import { GatewayRpcError } from "./agent/rpc.ts";
import { BackendError } from "./backend/backend.ts";
import { TurnEnded } from "./lease.ts";
import { RestoreError } from "./snapshot/restore.ts";
import { TurnFailed } from "./turnFailed.ts";

export function errorName(error: unknown): string {
  if (error instanceof TurnFailed || error instanceof GatewayRpcError)
    return `${error.name}: ${error.summary}`;
  // What follows the colon is the name of a file, which its agent chose.
  if (error instanceof RestoreError) return `${error.name}: ${error.message.split(":", 1).join()}`;
  if (error instanceof TurnEnded) return `${error.name}: ${error.reason}`;
  if (error instanceof BackendError) return `${error.name}: ${error.kind}`;
  return error instanceof Error ? error.name : typeof error;
}
