// The random values themselves. `pick(n)` gives an integer in [0, n); it is passed in so that tests are exact.

export type Pick = (below: number) => number;

/** Which characters a string or password may and must hold; names as in Pulumi's random provider. */
export interface CharacterRules {
  readonly length: number;
  readonly lower: boolean;
  readonly upper: boolean;
  readonly numeric: boolean;
  readonly special: boolean;
  readonly minLower: number;
  readonly minUpper: number;
  readonly minNumeric: number;
  readonly minSpecial: number;
  readonly overrideSpecial: string;
}

export const defaultRules: Omit<CharacterRules, "length"> = {
  lower: true,
  upper: true,
  numeric: true,
  special: true,
  minLower: 0,
  minUpper: 0,
  minNumeric: 0,
  minSpecial: 0,
  overrideSpecial: "",
};

const lowerCase = "abcdefghijklmnopqrstuvwxyz";
const upperCase = lowerCase.toUpperCase();
const digits = "0123456789";
const defaultSpecial = "!@#$%&*()-_=+[]{}<>:?";

/** What is wrong with the rules, or undefined. */
export function rulesProblem(rules: CharacterRules): string | undefined {
  const minimum = rules.minLower + rules.minUpper + rules.minNumeric + rules.minSpecial;
  if (!Number.isInteger(rules.length) || rules.length < 1)
    return "length must be a whole number of at least 1";
  if (rules.length < minimum) {
    return `length must be at least ${minimum}, the sum of minLower, minUpper, minNumeric and minSpecial`;
  }
  if (allowed(rules) === "") return "at least one of lower, upper, numeric and special must be true";
  return undefined;
}

/** A string by the rules: the minimum of each kind first, then any allowed character, then shuffled. */
export function randomText(rules: CharacterRules, pick: Pick): string {
  const special = rules.overrideSpecial === "" ? defaultSpecial : rules.overrideSpecial;
  const characters = [
    ...draw(lowerCase, rules.minLower, pick),
    ...draw(upperCase, rules.minUpper, pick),
    ...draw(digits, rules.minNumeric, pick),
    ...draw(special, rules.minSpecial, pick),
  ];
  characters.push(...draw(allowed(rules), rules.length - characters.length, pick));
  return shuffle(characters, pick).join("");
}

function allowed(rules: CharacterRules): string {
  const special = rules.overrideSpecial === "" ? defaultSpecial : rules.overrideSpecial;
  return [
    rules.lower ? lowerCase : "",
    rules.upper ? upperCase : "",
    rules.numeric ? digits : "",
    rules.special ? special : "",
  ].join("");
}

function draw(alphabet: string, count: number, pick: Pick): string[] {
  return Array.from({ length: count }, () => alphabet.charAt(pick(alphabet.length)));
}

function shuffle(items: readonly string[], pick: Pick): string[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = pick(last + 1);
    [shuffled[last], shuffled[other]] = [shuffled[other] ?? "", shuffled[last] ?? ""];
  }
  return shuffled;
}

/** The spellings of one random id, as Pulumi's RandomId gives them. */
export function idSpellings(bytes: Uint8Array, prefix: string) {
  const buffer = Buffer.from(bytes);
  return {
    b64Std: prefix + buffer.toString("base64"),
    b64Url: prefix + buffer.toString("base64url"),
    dec: prefix + BigInt(`0x${buffer.toString("hex") || "0"}`).toString(10),
    hex: prefix + buffer.toString("hex"),
  };
}
