import { convexToJson, type Value } from "convex/values";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Engine } from "./engine.ts";
import { ConflictError } from "./errors.ts";
import { QueryStream, readPage, type PageRequest, type QuerySpec } from "./query.ts";
import type { RangeExpression } from "./ranges.ts";
import { parseDocument, Transaction } from "./transaction.ts";

let folder: string;
let engine: Engine;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "engine-test-"));
  engine = new Engine(join(folder, "db.sqlite"));
  engine.store.atomically(() => engine.catalog.addIndex(engine.catalog.table("t"), "by_n", ["n"]));
});

afterEach(() => {
  engine.close();
  rmSync(folder, { recursive: true, force: true });
});

function insert(transaction: Transaction, n: Value, table = "t"): string {
  return transaction.insert(engine.catalog.table(table), { n });
}

function commit(work: (transaction: Transaction) => void): bigint {
  const transaction = new Transaction(engine);
  work(transaction);
  return transaction.commit();
}

function byN(range: RangeExpression[], order: "asc" | "desc" = "asc", limit?: number): QuerySpec {
  const operators = limit === undefined ? [] : [{ limit }];
  return { source: { type: "IndexRange", indexName: "t.by_n", range, order }, operators };
}

const bound = (type: RangeExpression["type"], value: Value): RangeExpression => ({
  type,
  fieldPath: "n",
  value: convexToJson(value),
});

function numbers(transaction: Transaction, spec: QuerySpec): Value[] {
  const stream = new QueryStream(transaction, spec);
  const found: Value[] = [];
  for (let next = stream.next(); next !== null; next = stream.next()) {
    found.push(parseDocument(next.json)["n"] as Value);
  }
  return found;
}

describe("index ranges", () => {
  beforeEach(() => void commit((transaction) => [5, 1, 3, 2, 4].forEach((n) => insert(transaction, n))));

  it.each<[string, RangeExpression[], number[]]>([
    ["everything", [], [1, 2, 3, 4, 5]],
    ["equality", [bound("Eq", 3)], [3]],
    ["gt and lt", [bound("Gt", 1), bound("Lt", 4)], [2, 3]],
    ["gte and lte", [bound("Gte", 2), bound("Lte", 4)], [2, 3, 4]],
    ["an empty range", [bound("Gt", 4), bound("Lt", 2)], []],
  ])("read %s in both directions", (_name, range, expected) => {
    expect(numbers(new Transaction(engine), byN(range))).toEqual(expected);
    expect(numbers(new Transaction(engine), byN(range, "desc"))).toEqual([...expected].reverse());
  });

  it("refuse fields out of order and a field bounded twice", () => {
    const wrongField: RangeExpression = { type: "Eq", fieldPath: "other", value: 1 };
    expect(() => numbers(new Transaction(engine), byN([wrongField]))).toThrow(/index fields in order/);
    expect(() => numbers(new Transaction(engine), byN([bound("Gt", 1), bound("Gte", 2)]))).toThrow(
      /bounded twice/,
    );
    const unknown: QuerySpec = {
      source: { type: "IndexRange", indexName: "t.nope", range: [], order: null },
      operators: [],
    };
    expect(() => numbers(new Transaction(engine), unknown)).toThrow("Index t.nope not found.");
  });

  it("merge what the transaction itself inserted, changed and deleted", () => {
    const transaction = new Transaction(engine);
    const first = new QueryStream(transaction, byN([bound("Eq", 1)])).next()!;
    const last = new QueryStream(transaction, byN([bound("Eq", 5)])).next()!;
    insert(transaction, 2.5);
    transaction.replace(first.id, () => ({ n: 9 }), "replace");
    transaction.delete(last.id);
    expect(numbers(transaction, byN([]))).toEqual([2, 2.5, 3, 4, 9]);
    expect(numbers(transaction, byN([], "desc"))).toEqual([9, 4, 3, 2.5, 2]);
    expect(numbers(new Transaction(engine), byN([]))).toEqual([1, 2, 3, 4, 5]);
  });

  it("see a document that the scan's own loop moves ahead of it only where it then stands", () => {
    const transaction = new Transaction(engine);
    const stream = new QueryStream(transaction, byN([bound("Lt", 100)]));
    const seen: Value[] = [];
    for (let next = stream.next(); next !== null && seen.length < 20; next = stream.next()) {
      const n = parseDocument(next.json)["n"] as number;
      seen.push(n);
      if (n < 10) transaction.replace(next.id, () => ({ n: n + 10 }), "replace");
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 11, 12, 13, 14, 15]);
  });
});

describe("transactions", () => {
  it("commit all writes or, when they are not committed, none", () => {
    const abandoned = new Transaction(engine);
    insert(abandoned, 1);
    commit((transaction) => insert(transaction, 2));
    expect(numbers(new Transaction(engine), byN([]))).toEqual([2]);
  });

  it("conflict when a commit wrote into a range that was read, even one that was read empty", () => {
    const reader = new Transaction(engine);
    expect(numbers(reader, byN([bound("Gte", 10), bound("Lt", 20)]))).toEqual([]);
    insert(reader, 1);
    commit((transaction) => insert(transaction, 15));
    expect(() => reader.commit()).toThrow(ConflictError);
    expect(numbers(new Transaction(engine), byN([]))).toEqual([15]);
  });

  it("do not conflict with writes outside of the ranges that were read", () => {
    const reader = new Transaction(engine);
    numbers(reader, byN([bound("Gte", 10), bound("Lt", 20)]));
    insert(reader, 1);
    commit((transaction) => insert(transaction, 20));
    reader.commit();
    expect(numbers(new Transaction(engine), byN([]))).toEqual([1, 20]);
  });

  it("depend on no more than a limited scan has passed", () => {
    commit((transaction) => [1, 2, 3].forEach((n) => insert(transaction, n)));
    const reader = new Transaction(engine);
    expect(numbers(reader, byN([], "asc", 1))).toEqual([1]);
    commit((transaction) => insert(transaction, 2.5));
    expect(numbers(reader, byN([], "asc", 1))).toEqual([1]);
    commit((transaction) => insert(transaction, 0));
    expect(() => numbers(reader, byN([], "asc", 1))).toThrow(ConflictError);
  });

  it("never see half of another commit: they move on whole or refuse", () => {
    const ids: string[] = [];
    commit((transaction) => ids.push(insert(transaction, 1), insert(transaction, 1, "other")));
    const reader = new Transaction(engine);
    expect(parseDocument(reader.get(ids[0]!)!.json)["n"]).toBe(1);
    commit((transaction) => ids.forEach((id) => transaction.replace(id, () => ({ n: 2 }), "replace")));
    expect(() => reader.get(ids[1]!)).toThrow(ConflictError);
  });

  it("undo a nested part alone", () => {
    commit((transaction) => {
      insert(transaction, 1);
      const undo = transaction.savepoint();
      insert(transaction, 2);
      undo();
      insert(transaction, 3);
    });
    expect(numbers(new Transaction(engine), byN([]))).toEqual([1, 3]);
  });

  it("refuse every access after they were ended", () => {
    const transaction = new Transaction(engine);
    transaction.end(new Error("timed out"));
    expect(() => insert(transaction, 1)).toThrow("timed out");
    expect(() => transaction.commit()).toThrow("timed out");
  });

  it("read the state as of an earlier timestamp, through deletes, changes and inserts", () => {
    const ids: string[] = [];
    const before = commit((transaction) => [1, 2].forEach((n) => ids.push(insert(transaction, n))));
    commit((transaction) => transaction.delete(ids[0]!));
    commit((transaction) => transaction.replace(ids[1]!, () => ({ n: 7 }), "replace"));
    commit((transaction) => insert(transaction, 9));
    expect(numbers(new Transaction(engine, before), byN([]))).toEqual([1, 2]);
    expect(numbers(new Transaction(engine), byN([]))).toEqual([7, 9]);
  });

  it("give later documents later creation times and later commits later timestamps", () => {
    const first = commit((transaction) => [1, 2, 3].forEach((n) => insert(transaction, n)));
    const second = commit((transaction) => insert(transaction, 4));
    expect(second).toBeGreaterThan(first);
    const spec: QuerySpec = { source: { type: "FullTableScan", tableName: "t", order: null }, operators: [] };
    expect(numbers(new Transaction(engine), spec)).toEqual([1, 2, 3, 4]);
  });

  it("keep documents, indexes and the timestamp when the database is opened again", () => {
    const ts = commit((transaction) => insert(transaction, 1));
    engine.close();
    engine = new Engine(join(folder, "db.sqlite"));
    expect(engine.ts).toBe(ts);
    expect(numbers(new Transaction(engine), byN([bound("Eq", 1)]))).toEqual([1]);
    expect(commit((transaction) => insert(transaction, 2))).toBeGreaterThan(ts);
    expect(engine.catalog.table("t").count).toBe(2);
  });
});

describe("limits", () => {
  it("stop a transaction that scans more than 32,000 documents", () => {
    const transaction = new Transaction(engine);
    const read = (): void => {
      for (let i = 0; i < 32_001; i++) transaction.countRead(1);
    };
    expect(read).toThrow(/Too many documents read in a single function execution \(limit: 32000\)/);
  });

  it("stop a transaction that reads more than 4,096 ranges", () => {
    const transaction = new Transaction(engine);
    const read = (): void => {
      for (let i = 0; i < 4_097; i++) numbers(transaction, byN([bound("Eq", i)]));
    };
    expect(read).toThrow(/Too many reads in a single function execution \(limit: 4096\)/);
  });

  it("stop a transaction that writes more than 16,000 documents", () => {
    const transaction = new Transaction(engine);
    const write = (): void => {
      for (let i = 0; i < 16_001; i++) insert(transaction, i);
    };
    expect(write).toThrow(/Too many documents written in a single function execution \(limit: 16000\)/);
  });

  it("refuse a document above 1 MiB and name the table", () => {
    const transaction = new Transaction(engine);
    expect(() => insert(transaction, "x".repeat(1_048_577))).toThrow(/maximum size 1 MiB.*table "t"/);
  });

  it("hold a nested call to its own tighter limits and then restore the outer ones", () => {
    const transaction = new Transaction(engine);
    const close = transaction.meter.nest({ documentsWritten: 1 });
    insert(transaction, 1);
    expect(() => insert(transaction, 2)).toThrow(/limit: 1\)/);
    close(true);
    insert(transaction, 3);
    expect(transaction.meter.usage().documentsWritten).toBe(1);
  });
});

describe("pages", () => {
  const request = (cursor: string | null, overrides: Partial<PageRequest> = {}): PageRequest => ({
    query: byN([]),
    cursor,
    endCursor: null,
    pageSize: 2,
    maximumRowsRead: null,
    maximumBytesRead: null,
    ...overrides,
  });
  const values = (page: ReturnType<typeof readPage>): Value[] =>
    page.documents.map((document) => parseDocument(document.json)["n"] as Value);

  beforeEach(() => void commit((transaction) => [1, 2, 3, 4, 5].forEach((n) => insert(transaction, n))));

  it.each(["asc", "desc"] as const)("walk a range to its end without gap or repetition, %s", (order) => {
    const found: Value[] = [];
    let cursor: string | null = null;
    for (let pages = 0; pages < 10; pages++) {
      const page = readPage(new Transaction(engine), request(cursor, { query: byN([], order) }));
      found.push(...values(page));
      cursor = page.continueCursor;
      if (page.isDone) break;
    }
    expect(found).toEqual(order === "asc" ? [1, 2, 3, 4, 5] : [5, 4, 3, 2, 1]);
  });

  it("end exactly at an end cursor when they are read again, whatever was inserted", () => {
    const first = readPage(new Transaction(engine), request(null));
    commit((transaction) => [1.1, 1.2, 2.5].forEach((n) => insert(transaction, n)));
    const again = readPage(new Transaction(engine), request(null, { endCursor: first.continueCursor }));
    expect(values(again)).toEqual([1, 1.1, 1.2, 2]);
    const next = readPage(new Transaction(engine), request(again.continueCursor));
    expect(values(next)).toEqual([2.5, 3]);
  });

  it("stop after the allowed rows even when a filter passes none", () => {
    const never = { filter: { $literal: false } };
    const query: QuerySpec = { ...byN([]), operators: [never] };
    const page = readPage(new Transaction(engine), request(null, { query, maximumRowsRead: 3 }));
    expect(values(page)).toEqual([]);
    expect(page.isDone).toBe(false);
    const rest = readPage(new Transaction(engine), request(page.continueCursor, { query }));
    expect(rest.isDone).toBe(true);
  });

  it("refuse the cursor of another query", () => {
    const page = readPage(new Transaction(engine), request(null));
    const other = request(page.continueCursor, { query: byN([bound("Gt", 0)]) });
    expect(() => readPage(new Transaction(engine), other)).toThrow(/InvalidCursor/);
    expect(() => readPage(new Transaction(engine), request("nonsense"))).toThrow(/InvalidCursor/);
  });
});
