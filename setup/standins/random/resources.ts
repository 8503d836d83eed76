import { randomBytes, randomInt, randomUUID } from "node:crypto";

import type { ResourceType } from "../provider.ts";
import { hasUnknown, revealAll, secret, unknown, type Properties, type Value } from "../values.ts";
import { defaultRules, idSpellings, randomText, rulesProblem, type CharacterRules } from "./generators.ts";

/** Id of a resource whose value is secret: ids are stored in plain text. */
const secretId = "none";

interface RandomType {
  readonly inputs: readonly string[];
  readonly required: readonly string[];
  readonly outputs: readonly string[];
  readonly secretOutputs?: readonly string[];
  readonly defaults?: Properties;
  problem?(inputs: Properties): { property: string; reason: string } | undefined;
  /** Draws the outputs; inputs are plain and have their defaults. */
  draw(inputs: Properties): Properties;
  id(outputs: Properties, inputs: Properties): string;
  parse?(id: string): { inputs: Properties; outputs: Properties };
}

/** A random value is drawn once and kept in the state; any change of its inputs draws a new one. */
function drawnOnce(type: RandomType): ResourceType {
  const inputs = ["keepers", ...type.inputs];
  const mark = (outputs: Properties): Properties =>
    Object.fromEntries(
      Object.entries(outputs).map(([name, value]) => [
        name,
        type.secretOutputs?.includes(name) ? secret(value) : value,
      ]),
    );
  return {
    inputs,
    required: type.required,
    replaceOn: inputs,
    validate(given) {
      const plain = { ...type.defaults, ...revealAll(given) };
      const problem = hasUnknown(plain) ? undefined : type.problem?.(plain);
      return problem === undefined ? [] : [problem];
    },
    async create(given, { preview }) {
      const outputs = preview
        ? Object.fromEntries(type.outputs.map((name) => [name, unknown]))
        : type.draw({ ...type.defaults, ...revealAll(given) });
      const state = { ...type.defaults, ...given, ...mark(outputs) };
      return { id: preview ? "" : type.id(outputs, revealAll(given)), state };
    },
    importById(id) {
      if (type.parse === undefined) throw new Error("this random resource cannot be imported");
      const parsed = type.parse(id);
      const state = { ...type.defaults, ...parsed.inputs, ...mark(parsed.outputs) };
      return { inputs: parsed.inputs, state, id: type.id(parsed.outputs, parsed.inputs) };
    },
  };
}

const ruleInputs = [
  "length",
  "lower",
  "upper",
  "number",
  "numeric",
  "special",
  "minLower",
  "minUpper",
  "minNumeric",
  "minSpecial",
  "overrideSpecial",
];

/** `number` is the older name of `numeric`; the newer one wins. */
function characterRules(inputs: Properties): CharacterRules {
  const numeric = inputs["numeric"] ?? inputs["number"] ?? true;
  return { ...defaultRules, ...inputs, numeric } as unknown as CharacterRules;
}

function textType(isSecret: boolean): ResourceType {
  const { overrideSpecial: _none, numeric: _either, ...shown } = defaultRules;
  return drawnOnce({
    inputs: ruleInputs,
    required: ["length"],
    outputs: ["result"],
    secretOutputs: isSecret ? ["result"] : [],
    defaults: shown,
    problem(inputs) {
      const reason = rulesProblem(characterRules(inputs));
      return reason === undefined ? undefined : { property: "length", reason };
    },
    draw: (inputs) => {
      const rules = characterRules(inputs);
      return { result: randomText(rules, randomInt), numeric: rules.numeric, number: rules.numeric };
    },
    id: (outputs) => (isSecret ? secretId : text(outputs["result"])),
    parse: (id) => ({ inputs: { length: id.length }, outputs: { result: id, numeric: true, number: true } }),
  });
}

function wholeNumber(property: string) {
  return (inputs: Properties) => {
    const value = inputs[property];
    const valid = typeof value === "number" && Number.isInteger(value) && value >= 1;
    return valid ? undefined : { property, reason: `${property} must be a whole number of at least 1` };
  };
}

function bytesOutputs(bytes: Buffer): Properties {
  return { base64: bytes.toString("base64"), hex: bytes.toString("hex") };
}

/** The resource types of the stand-in, by Pulumi's token. `bcryptHash` of a password is not computed. */
export const randomResources: Readonly<Record<string, ResourceType>> = {
  "random:index/randomBytes:RandomBytes": drawnOnce({
    inputs: ["length"],
    required: ["length"],
    outputs: ["base64", "hex"],
    secretOutputs: ["base64", "hex"],
    problem: wholeNumber("length"),
    draw: (inputs) => bytesOutputs(randomBytes(Number(inputs["length"]))),
    id: () => secretId,
    parse(id) {
      const bytes = Buffer.from(id, "base64");
      return { inputs: { length: bytes.length }, outputs: bytesOutputs(bytes) };
    },
  }),
  "random:index/randomPassword:RandomPassword": textType(true),
  "random:index/randomString:RandomString": textType(false),
  "random:index/randomId:RandomId": drawnOnce({
    inputs: ["byteLength", "prefix"],
    required: ["byteLength"],
    outputs: ["b64Std", "b64Url", "dec", "hex"],
    problem: wholeNumber("byteLength"),
    draw: (inputs) => idSpellings(randomBytes(Number(inputs["byteLength"])), text(inputs["prefix"])),
    // The id leaves the prefix out, so that it says which bytes were drawn.
    id: (outputs, inputs) => text(outputs["b64Url"]).slice(text(inputs["prefix"]).length),
    parse(id) {
      const [encoded = "", prefix] = id.split(",").reverse();
      const bytes = Buffer.from(encoded, "base64url");
      return {
        inputs: { byteLength: bytes.length, ...(prefix === undefined ? {} : { prefix }) },
        outputs: idSpellings(bytes, prefix ?? ""),
      };
    },
  }),
  "random:index/randomUuid:RandomUuid": drawnOnce({
    inputs: [],
    required: [],
    outputs: ["result"],
    draw: () => ({ result: randomUUID() }),
    id: (outputs) => text(outputs["result"]),
    parse: (id) => ({ inputs: {}, outputs: { result: id } }),
  }),
  "random:index/randomInteger:RandomInteger": drawnOnce({
    inputs: ["min", "max"],
    required: ["min", "max"],
    outputs: ["result"],
    problem: (inputs) =>
      Number(inputs["min"]) <= Number(inputs["max"])
        ? undefined
        : { property: "max", reason: "max must not be below min" },
    draw: (inputs) => ({ result: randomInt(Number(inputs["min"]), Number(inputs["max"]) + 1) }),
    id: (outputs) => text(outputs["result"]),
  }),
};

function text(value: Value | undefined): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
