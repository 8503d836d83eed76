import { describe, expect, it } from "vitest";
import { progressFilter, resourceCounts } from "./pulumiProgress.ts";

const shownOf = (lines: string[]): string[] => {
  const shown: string[] = [];
  const filter = progressFilter((line) => shown.push(line));
  lines.forEach((line) => filter(line));
  return shown;
};

describe("progressFilter", () => {
  it("shows each resource that did something once, and no component", () => {
    expect(
      shownOf([
        " +  pulumi-nodejs:dynamic/agent-factory:FlyApp fly-app creating (0s) ",
        " +  pulumi-nodejs:dynamic/agent-factory:FlyApp fly-app created (0.13s) ",
        " +  pulumi-nodejs:dynamic/agent-factory:FlyApp fly-app created (0.13s) ",
        " +  agent-factory:index:FlyPlane fly created (0.1s) ",
        "@ updating....",
      ]),
    ).toEqual(["created  fly-app (0.1 s)"]);
  });

  it("passes on what the tools say that matters, and not the list of indexes", () => {
    expect(
      shownOf([
        "    convex:   [+] secrets.by_key   keyId",
        "    convex: ✔ Deployed Convex functions to http://127.0.0.1:1",
        "    image: pushed sha256:abc in 3.4 s",
      ]),
    ).toEqual([
      "convex: ✔ Deployed Convex functions to http://127.0.0.1:1",
      "image: pushed sha256:abc in 3.4 s",
    ]);
  });

  it("says once that a changed runtime config waits for its rollout, and how that goes, and shows a replacement as one line", () => {
    expect(
      shownOf([
        " ++ command:local:Command image-build created replacement (0.5s) ",
        " +- command:local:Command image-build replaced (0.5s) ",
        " ~  pulumi-nodejs:dynamic/agent-factory:RuntimeConfig runtime-config updating (0s) [diff: ~config]",
        "    pulumi:pulumi:Stack agent-factory-local running rollout: revision 2 canary, 0 of 1 new workers ready, 1 old",
        " ~  pulumi-nodejs:dynamic/agent-factory:RuntimeConfig runtime-config updating (1s) [diff: ~config]",
        " ~  pulumi-nodejs:dynamic/agent-factory:RuntimeConfig runtime-config updated (22s) [diff: ~config]",
        " -- command:local:Command image-build deleted original (0.1s) ",
      ]),
    ).toEqual([
      "replaced image-build (0.5 s)",
      "updating runtime-config: a rollout, which this waits for",
      "rollout: revision 2 canary, 0 of 1 new workers ready, 1 old",
      "updated  runtime-config (22.0 s)",
    ]);
  });

  it("stops at the diagnostics, which repeat it all", () => {
    expect(shownOf(["Diagnostics:", "    image: pushed sha256:abc in 3.4 s"])).toEqual([]);
  });
});

describe("resourceCounts", () => {
  it("reads the engine's summary", () => {
    expect(
      resourceCounts("x\nResources:\n    + 9 created\n    ~ 1 updated\n    17 unchanged\n\nDuration: 7s"),
    ).toEqual({
      created: 9,
      updated: 1,
      unchanged: 17,
    });
    expect(resourceCounts("nothing")).toEqual({});
  });
});
