import { LONG_RUNNER, startHarness } from "../../local/fly/testing/harness.ts";
import { flyProvider } from "../../runtime/convex/machines/fly/provider.ts";
import { ownerNetwork } from "../../runtime/convex/policy/owner.ts";
import { describeProvider, OWNER } from "./conformance.ts";

const APP = "af-conformance";
const OPERATIONS = { create: "Machines_create", destroy: "Machines_delete" } as const;

describeProvider("Fly on the emulator", async () => {
  const harness = await startHarness({ destroyedVisibleMs: 200 });
  const network = ownerNetwork(OWNER);
  await harness.call("POST", "/v1/apps", { name: APP, org_slug: "personal", network });
  const digest = await harness.push(APP, "latest", LONG_RUNNER);
  const token = String(
    (await harness.call("POST", `/v1/apps/${APP}/deploy_token`, { expiry: "1h" })).body.token,
  );
  const inject = async (rule: Record<string, unknown>): Promise<void> => {
    const reply = await harness.call("POST", "/local/faults", [{ times: 1, ...rule }]);
    if (reply.status >= 300) throw new Error(`fault refused: ${JSON.stringify(reply.body)}`);
  };
  return {
    provider: flyProvider({ apiUrl: harness.fly.url, token }, APP),
    image: `registry.fly.io/${APP}@${digest}`,
    regions: ["iad", "fra"],
    fillRegion: () => inject({ operation: OPERATIONS.create, kind: "capacity", scope: "region" }),
    loseNextAnswer: (operation) => inject({ operation: OPERATIONS[operation], kind: "reset", when: "after" }),
    close: () => harness.close(),
  };
});
