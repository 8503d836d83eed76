import * as grpc from "@grpc/grpc-js";

/** Handles one unary request: resolves to the response message, or rejects with the error the engine shows. */
type Unary<Request, Response> = (request: Request) => Promise<Response> | Response;

/** Adapts a promise to grpc-js's callback, so that a thrown error becomes the call's status text. */
export function unary<Request, Response>(handle: Unary<Request, Response>) {
  return (call: grpc.ServerUnaryCall<Request, Response>, callback: grpc.sendUnaryData<Response>): void => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (response) => callback(null, response),
        (error: unknown) =>
          callback({
            code: grpc.status.UNKNOWN,
            details: error instanceof Error ? error.message : String(error),
          }),
      );
  };
}

/** The engine's address: it is always the last argument of a plugin. */
export function engineAddress(argv: readonly string[] = process.argv): string {
  const address = argv.at(-1);
  if (address === undefined || !/:\d+$/.test(address)) {
    throw new Error("expected the engine's address (host:port) as last argument; Pulumi starts this program");
  }
  return address;
}

/**
 * Serves one gRPC service on a free loopback port and tells the engine the port on stdout's first line,
 * which is the whole of Pulumi's plugin protocol. `stop` runs before the process ends, whichever way it ends.
 */
export async function serve(
  service: grpc.ServiceDefinition,
  handlers: grpc.UntypedServiceImplementation,
  stop: () => Promise<void>,
): Promise<void> {
  // States hold whole build logs: grpc's default of 4 MiB per message would refuse what the real plugins take.
  const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  const server = new grpc.Server(unlimited);
  server.addService(service, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  process.stdout.write(`${port}\n`);

  let stopping = false;
  const end = (): void => {
    if (stopping) return;
    stopping = true;
    server.forceShutdown();
    void stop().finally(() => process.exit(0));
  };
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  // An engine that was killed cannot tell us: a new parent is how an orphan knows.
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) end();
  }, 1_000).unref();
}
