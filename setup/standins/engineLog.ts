import * as grpc from "@grpc/grpc-js";

import { engine, engineGrpc } from "./proto.ts";

/** Sends lines to the engine, which shows them beside the resource while it is worked on. */
export interface EngineLog {
  /** A progress line; shown while the operation runs, not kept. */
  status(urn: string, line: string): void;
}

export function connectEngineLog(address: string): EngineLog {
  const client = new engineGrpc.EngineClient(address, grpc.credentials.createInsecure());
  return {
    status(urn, line) {
      const request = new engine.LogRequest()
        .setSeverity(engine.LogSeverity.INFO)
        .setMessage(line)
        .setUrn(urn)
        .setEphemeral(true);
      // A lost progress line is no reason to fail the command it describes.
      client.log(request, () => undefined);
    },
  };
}
