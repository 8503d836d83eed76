import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Schema } from "../deploy/pushes.ts";
import { Engine } from "../engine/engine.ts";
import { QueryStream } from "../engine/query.ts";
import { Transaction } from "../engine/transaction.ts";
import type { ValidatorJson } from "../values/describe.ts";
import { applySchema, diffIndexes, enforceSchema, findViolation } from "./activation.ts";

let folder: string;
let engine: Engine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "activation-test-"));
  engine = new Engine(join(folder, "db.sqlite"));
  const transaction = new Transaction(engine);
  for (let n = 0; n < 1_200; n++) transaction.insert(engine.catalog.table("t"), { n, text: `${n % 7}` });
  transaction.commit();
});

afterEach(() => {
  engine.close();
  rmSync(folder, { recursive: true, force: true });
});

function schema(indexes: Record<string, string[]>, n: ValidatorJson = { type: "number" }): Schema {
  const fields = {
    n: { fieldType: n, optional: false },
    text: { fieldType: { type: "string" }, optional: false },
  } as const;
  const described = Object.entries(indexes).map(([indexDescriptor, names]) => ({
    indexDescriptor,
    fields: names,
  }));
  return {
    tables: [{ tableName: "t", indexes: described, documentType: { type: "object", value: fields } }],
    schemaValidation: true,
  };
}

function apply(next: Schema | null): void {
  engine.touch([() => applySchema(engine, next)]);
  enforceSchema(engine, next);
}

function withText(text: string): number {
  const range = [{ type: "Eq", fieldPath: "text", value: text }] as const;
  const source = { type: "IndexRange", indexName: "t.by_text", range, order: null } as const;
  const stream = new QueryStream(new Transaction(engine), { source, operators: [] });
  let found = 0;
  while (stream.next() !== null) found += 1;
  return found;
}

describe("putting a schema in force", () => {
  it("indexes the documents that are already there", () => {
    apply(schema({ by_text: ["text"] }));
    expect(withText("3")).toBe(171);
  });

  it("reports added and removed indexes, and nothing the second time", () => {
    const first = schema({ by_text: ["text"], by_n: ["n", "_creationTime"] });
    expect(diffIndexes(engine, first).added_indexes.map(({ name }) => name)).toEqual(["t.by_text", "t.by_n"]);
    apply(first);
    expect(diffIndexes(engine, first)).toEqual({ added_indexes: [], removed_indexes: [] });
    const changed = schema({ by_text: ["text", "n"] });
    expect(diffIndexes(engine, changed)).toMatchObject({
      added_indexes: [{ name: "t.by_text", fields: ["text", "n"] }],
      removed_indexes: [{ name: "t.by_text", fields: ["text"] }, { name: "t.by_n" }],
    });
    apply(changed);
    expect(withText("6")).toBe(171);
    apply(null);
    expect(() => withText("6")).toThrow("Index t.by_text not found.");
  });

  it("names the first document that violates it, and checks writes from then on", () => {
    expect(findViolation(engine, schema({}))).toBeNull();
    expect(findViolation(engine, schema({}, { type: "string" }))).toMatchObject({
      table: "t",
      error: expect.stringMatching(
        /Document with ID "\w+" in table "t" does not match the schema: .*Path: .n/s,
      ),
    });
    expect(findViolation(engine, { ...schema({}, { type: "string" }), schemaValidation: false })).toBeNull();
    apply(schema({}));
    const transaction = new Transaction(engine);
    expect(() => transaction.insert(engine.catalog.table("t"), { n: "text" })).toThrow(
      /does not match the schema/,
    );
  });
});
