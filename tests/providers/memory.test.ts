import { ownerNetwork } from "../../runtime/convex/policy/owner.ts";
import { describeProvider, OWNER } from "./conformance.ts";
import { MemoryProvider, type ProviderOperation } from "./memoryProvider.ts";

describeProvider("in memory", async () => {
  const provider = new MemoryProvider("af-test", ownerNetwork(OWNER));
  let lost: ProviderOperation | null = null;
  let filled: string | null = null;
  provider.fault = (operation) => {
    if (operation === "create" && filled !== null) {
      filled = null;
      return { failure: { kind: "no_capacity", scope: "region" }, acts: false };
    }
    if (lost !== operation) return null;
    lost = null;
    return { failure: { kind: "unknown" }, acts: true };
  };
  return {
    provider,
    image: `registry.fly.io/af-test@sha256:${"a".repeat(64)}`,
    regions: ["iad", "fra"],
    fillRegion: (region) => {
      filled = region;
      return Promise.resolve();
    },
    loseNextAnswer: (operation) => {
      lost = operation;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
});
