import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CliError, exitCodes } from "../errors.ts";
import { type FakeDeployment, Refused, startFakeDeployment } from "../testing/fakeDeployment.ts";
import { backendAt } from "./client.ts";

let deployment: FakeDeployment;
beforeAll(async () => {
  deployment = await startFakeDeployment();
});
afterAll(() => deployment.close());

const call = (options = {}, access: { url: string; adminKey: string } = deployment) =>
  backendAt(access).run("queueStats", {}, options);

async function failure(promise: Promise<unknown>): Promise<CliError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CliError)) throw new Error(`expected a CliError, got ${String(error)}`);
  return error;
}

describe("a call of an operator function", () => {
  it("names the function by its path and returns its value", async () => {
    deployment.on("queueStats", () => ({ queuedReady: 3 }));
    await expect(call()).resolves.toMatchObject({ queuedReady: 3 });
    expect(deployment.calls.at(-1)).toEqual({ name: "queueStats", args: {} });
  });

  it.each([
    ["not_found", exitCodes.notFound],
    ["invalid_argument", exitCodes.usage],
    ["not_configured", exitCodes.usage],
    ["conflict", exitCodes.failed],
    ["provider_failed", exitCodes.failed],
    ["provider_unknown", exitCodes.unknown],
  ])("ends a %s of the backend with exit code %i and its own message", async (code, exitCode) => {
    deployment.on("queueStats", () => {
      throw new Refused(code, "the function's own words");
    });
    expect(await failure(call())).toMatchObject({ code, exitCode, message: "the function's own words" });
  });

  it("says that the deployment is older when it does not know the function", async () => {
    const { code, next } = await failure(backendAt(deployment).run("listAudit", {}));
    expect(code).toBe("old_backend");
    expect(next).toContain("pulumi up");
  });

  it("calls a refused key a matter of configuration and names the variable", async () => {
    const error = await failure(call({}, { url: deployment.url, adminKey: "wrong" }));
    expect(error).toMatchObject({ exitCode: exitCodes.usage, code: "BadAdminKey" });
    expect(error.next).toContain("CONVEX_DEPLOY_KEY");
  });

  it("shows a server error without its stack", async () => {
    deployment.on("queueStats", () => {
      throw new Error("Uncaught Error: boom\n    at handler (../queue/stats.ts:1:1)");
    });
    const { message } = await failure(call());
    expect(message).toBe("factory:queueStats: Uncaught Error: boom");
  });

  it("says so when what answers is no Convex deployment", async () => {
    const { message, exitCode } = await failure(
      call({}, { ...deployment, url: `${deployment.url}/nowhere` }),
    );
    expect(exitCode).toBe(exitCodes.failed);
    expect(message).toContain("is this the deployment's .convex.cloud URL?");
  });
});

describe("a call that gets no answer", () => {
  it("is unreachable when nobody listens: nothing was done", async () => {
    const closed = await startFakeDeployment();
    await closed.close();
    expect(await failure(call({}, closed))).toMatchObject({ exitCode: exitCodes.unreachable });
  });

  it("is unknown when the answer does not come in time, and warns before repeating", async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const error = await failure(call({ timeoutMs: 50 }, { url, adminKey: "key" }));
    silent.closeAllConnections();
    silent.close();
    expect(error).toMatchObject({ exitCode: exitCodes.unknown, code: "timeout" });
  });

  it("is unknown when the connection breaks after the request was sent", async () => {
    const breaking = createServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => breaking.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(breaking.address() as AddressInfo).port}`;
    const error = await failure(call({}, { url, adminKey: "key" }));
    breaking.close();
    expect(error).toMatchObject({ exitCode: exitCodes.unknown, code: "connection_lost" });
  });

  it("carries the key to no other host: a redirect is not followed", async () => {
    deployment.onRequest((request) => (request.url === "/api/function" ? { status: 307, body: "" } : null));
    const seen = deployment.calls.length;
    await failure(call());
    deployment.onRequest(() => null);
    expect(deployment.calls.length).toBe(seen);
  });
});
