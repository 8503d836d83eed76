import { describe, expect, it } from "vitest";

import { checkInputs, type Operation } from "../provider.ts";
import { reveal, secret, unknown } from "../values.ts";
import { randomResources } from "./resources.ts";

const operation: Operation = { urn: "urn", preview: false, timeoutMs: undefined };

function typeOf(name: string) {
  const token = `random:index/${name.charAt(0).toLowerCase()}${name.slice(1)}:${name}`;
  const type = randomResources[token];
  if (type === undefined) throw new Error(`no ${token}`);
  return type;
}

describe("random resources", () => {
  it.each(["RandomBytes", "RandomPassword"])(
    "%s gives secret outputs and an id that tells nothing",
    async (name) => {
      const { id, state } = await typeOf(name).create({ length: 24 }, operation);
      const output = state["base64"] ?? state["result"] ?? null;
      expect(output).toEqual(secret(reveal(output)));
      expect(reveal(output)).toMatch(/^.{24,}$/);
      expect(id).toBe("none");
    },
  );

  it("draws nothing in a preview", async () => {
    const { id, state } = await typeOf("RandomId").create({ byteLength: 4 }, { ...operation, preview: true });
    expect(id).toBe("");
    expect(state["hex"]).toBe(unknown);
  });

  it("is replaced by a change of any input, keepers included", () => {
    for (const type of Object.values(randomResources)) {
      expect(type.replaceOn).toEqual(type.inputs);
      expect(type.replaceOn).toContain("keepers");
    }
  });

  it("takes the older name of numeric", async () => {
    const { state } = await typeOf("RandomString").create({ length: 300, number: false }, operation);
    expect(state["result"]).not.toMatch(/[0-9]/);
  });

  it("keeps a random integer within its bounds, both included", async () => {
    const drawn = await Promise.all(
      Array.from({ length: 50 }, () => typeOf("RandomInteger").create({ min: 1, max: 2 }, operation)),
    );
    expect(new Set(drawn.map(({ state }) => state["result"]))).toEqual(new Set([1, 2]));
  });

  it("rebuilds an imported key from its value", () => {
    const imported = typeOf("RandomBytes").importById?.("q83v");
    expect(imported).toEqual({
      id: "none",
      inputs: { length: 3 },
      state: { length: 3, base64: secret("q83v"), hex: secret("abcdef") },
    });
  });
});

describe("inputs of random resources", () => {
  it.each([
    ["RandomBytes", {}, "length: missing required property"],
    ["RandomBytes", { length: 0 }, "length: length must be a whole number of at least 1"],
    ["RandomBytes", { length: 8, size: 8 }, "size: unknown property; it takes keepers, length"],
    ["RandomInteger", { min: 3, max: 2 }, "max: max must not be below min"],
  ])("%s %o is refused: %s", (name, inputs, refusal) => {
    const refusals = checkInputs(typeOf(name), inputs).map(
      ({ property, reason }) => `${property}: ${reason}`,
    );
    expect(refusals).toContain(refusal);
  });

  it("accepts what is not known yet", () => {
    expect(checkInputs(typeOf("RandomBytes"), { length: unknown })).toEqual([]);
  });
});
