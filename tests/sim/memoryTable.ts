/** One table in memory: documents by id, and every index as a sorted array, as Convex orders values. */
export type Value = unknown;
export type MemoryDoc = { _id: string; _creationTime: number } & Record<string, Value>;
export type IndexSpec = { indexDescriptor: string; fields: string[] };
export type Bound = { prefix: Value[]; inclusive: boolean };

type Entry = { key: Value[]; doc: MemoryDoc };
type Index = { fields: string[]; paths: string[][]; entries: Entry[] };

/** undefined < null < number < boolean < string; the rest does not occur in an indexed field of ours. */
function rankOf(value: Value): number {
  if (value === undefined) return 0;
  if (value === null) return 1;
  if (typeof value === "number") return 2;
  if (typeof value === "boolean") return 3;
  return 4;
}

export function compareValues(a: Value, b: Value): number {
  const ranks = rankOf(a) - rankOf(b);
  if (ranks !== 0 || a === undefined || a === null) return ranks;
  const [left, right] = [a as number, b as number];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Compares up to the shorter key: a prefix equals everything that it begins. */
function comparePrefix(key: readonly Value[], prefix: readonly Value[]): number {
  for (let i = 0; i < prefix.length; i += 1) {
    const order = compareValues(key[i], prefix[i]);
    if (order !== 0) return order;
  }
  return 0;
}

function fieldAt(doc: MemoryDoc, path: readonly string[]): Value {
  let value: Value = doc;
  for (const part of path) value = (value as Record<string, Value> | undefined)?.[part];
  return value;
}

function newIndex(fields: string[]): Index {
  return { fields, paths: fields.map((field) => field.split(".")), entries: [] };
}

export class MemoryTable {
  readonly docs = new Map<string, MemoryDoc>();
  readonly #indexes = new Map<string, Index>();
  /** Each document's entry in every index, in the order of the indexes. */
  readonly #entries = new Map<string, Entry[]>();

  constructor(specs: readonly IndexSpec[]) {
    for (const { indexDescriptor, fields } of specs) {
      this.#indexes.set(indexDescriptor, newIndex([...fields, "_creationTime", "_id"]));
    }
    this.#indexes.set("by_creation_time", newIndex(["_creationTime", "_id"]));
    this.#indexes.set("by_id", newIndex(["_id"]));
  }

  put(doc: MemoryDoc): void {
    const known = this.#entries.get(doc._id);
    this.docs.delete(doc._id);
    this.docs.set(doc._id, doc);
    const entries = known ?? [];
    let place = 0;
    for (const index of this.#indexes.values()) {
      const key = index.paths.map((path) => fieldAt(doc, path));
      const entry = entries[place];
      // Most writes leave most keys alone: then only the document behind the entry is new.
      if (entry !== undefined && comparePrefix(entry.key, key) === 0) entry.doc = doc;
      else {
        if (entry !== undefined) index.entries.splice(this.#position(index, entry.key, false), 1);
        const moved = { key, doc };
        index.entries.splice(this.#position(index, key, false), 0, moved);
        entries[place] = moved;
      }
      place += 1;
    }
    if (known === undefined) this.#entries.set(doc._id, entries);
  }

  remove(id: string): void {
    const entries = this.#entries.get(id);
    if (entries === undefined) return;
    this.docs.delete(id);
    this.#entries.delete(id);
    let place = 0;
    for (const index of this.#indexes.values()) {
      const entry = entries[place];
      if (entry !== undefined) index.entries.splice(this.#position(index, entry.key, false), 1);
      place += 1;
    }
  }

  fieldsOf(indexName: string): string[] {
    return this.#index(indexName).fields;
  }

  /** Documents of a range, one at a time, so that a caller pays only for what it takes. */
  *range(indexName: string, lower: Bound, upper: Bound, descending: boolean): Generator<MemoryDoc> {
    const index = this.#index(indexName);
    const from = this.#position(index, lower.prefix, !lower.inclusive);
    const to = this.#position(index, upper.prefix, upper.inclusive);
    // A copy of the entries' documents would be exact under writes; the handlers never write while they iterate.
    for (let i = 0; i < to - from; i += 1) {
      const entry = index.entries[descending ? to - 1 - i : from + i];
      if (entry !== undefined) yield entry.doc;
    }
  }

  #index(name: string): Index {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`no index ${name}`);
    return index;
  }

  /** First position whose key is not below the prefix; with `after`, the first that is above it. */
  #position(index: Index, prefix: readonly Value[], after: boolean): number {
    let low = 0;
    let high = index.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = comparePrefix(index.entries[middle]?.key ?? [], prefix);
      if (order < 0 || (after && order === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
