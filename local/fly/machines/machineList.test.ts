import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";
import { encodeCursor, pageOf, parseListQuery } from "./machineList.ts";
import type { MachineRecord } from "./record.ts";

const NOW = 1_000_000;

describe("paging", () => {
  test("walking the cursors finds every matching machine once, whatever the page size", () => {
    const record = (seq: number, hit: boolean): MachineRecord =>
      ({
        id: `m${seq}`,
        state: "started",
        destroyedAtMs: null,
        config: { metadata: { hit: String(hit) } },
      }) as never;
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 40 }),
        fc.integer({ min: 1, max: 10 }),
        (hits, limit) => {
          const rows = hits.map((hit, i) => ({ seq: i + 1, record: record(i + 1, hit) }));
          const found: string[] = [];
          let afterSeq = 0;
          for (let pages = 0; pages <= hits.length; pages++) {
            const query = new URLSearchParams({ limit: String(limit), "metadata.hit": "true" });
            if (afterSeq > 0) query.set("cursor", encodeCursor(afterSeq, NOW));
            const parsed = parseListQuery(query, 1_000, NOW);
            const page = pageOf(
              rows.filter((row) => row.seq > parsed.afterSeq),
              parsed,
            );
            found.push(...page.records.map((machine) => machine.id));
            if (page.nextSeq === null) break;
            afterSeq = page.nextSeq;
          }
          expect(found).toEqual(rows.filter((_, i) => hits[i] === true).map((row) => row.record.id));
        },
      ),
    );
  });

  test("a cursor lasts 30 minutes; a foreign one and a limit out of range are refused", () => {
    const cursor = encodeCursor(3, NOW);
    expect(parseListQuery(new URLSearchParams({ cursor }), 1_000, NOW + 30 * 60_000).afterSeq).toBe(3);
    const read =
      (query: Record<string, string>, nowMs = NOW) =>
      () =>
        parseListQuery(new URLSearchParams(query), 1_000, nowMs);
    expect(read({ cursor }, NOW + 30 * 60_000 + 1)).toThrow("expired");
    expect(read({ cursor: "bm90IG1pbmU" })).toThrow("cursor");
    expect(read({ limit: "1001" })).toThrow("limit");
  });
});

describe("over HTTP", () => {
  let h: Harness;
  let image: string;
  const machines = "/v1/apps/demo/machines";
  beforeAll(async () => {
    h = await startHarness({ pageSizeMax: 2, orgListDelayMs: 60_000 });
    image = await h.appWithImage("demo", LONG_RUNNER);
    for (const [name, region, role] of [
      ["a", "iad", "worker"],
      ["b", "lhr", "worker"],
      ["c", "lhr", "probe"],
      ["d", "iad", "probe"],
      ["e", "lhr", "worker"],
    ] as const) {
      const config = { image, metadata: { role, owner: "me" } };
      const { status } = await h.call("POST", machines, { name, region, config, skip_launch: true });
      if (status !== 200) throw new Error(`machine ${name} was not created: ${status}`);
    }
  });
  afterAll(() => h.close());

  /** All pages: names per page. */
  async function walk(query: string): Promise<string[][]> {
    const pages: string[][] = [];
    let cursor: string | null = "";
    for (let i = 0; i < 20 && cursor !== null; i++) {
      const reply = await h.call("GET", `${machines}?${query}&cursor=${cursor}`);
      expect(reply.status).toBe(200);
      pages.push(reply.body.map((machine: { name: string }) => machine.name));
      cursor = reply.headers.get("fly-next-cursor");
    }
    return pages;
  }

  test("pages follow the header; a filtered page may be empty while more follow", async () => {
    expect(await walk("")).toEqual([["a", "b"], ["c", "d"], ["e"]]);
    expect(await walk("metadata.role=worker")).toEqual([["a", "b"], [], ["e"]]);
    expect(await walk("region=lhr&metadata.role=worker&metadata.owner=me")).toEqual([["b"], [], ["e"]]);
    expect(await walk("state=started")).toEqual([[], [], []]);
    expect(await walk("state=created,started&limit=1")).toHaveLength(5);
  });

  test("an injected empty page leads to the page it should have been", async () => {
    await h.call("POST", "/local/faults", { operation: "Machines_list", nth: 1, kind: "emptyPage" });
    expect(await walk("")).toEqual([[], ["a", "b"], ["c", "d"], ["e"]]);
    await h.call("DELETE", "/local/faults");
  });

  test("summary leaves the config out; destroyed machines show only with include_deleted", async () => {
    const [first] = (await h.call("GET", `${machines}?summary=true`)).body;
    expect(first.config).toBeUndefined();
    await h.call("DELETE", `${machines}/${first.id}`);
    await h.until("demo", first.id, "destroyed");
    expect((await walk("")).flat()).not.toContain("a");
    expect((await walk("include_deleted=true")).flat()).toContain("a");
  });

  test("the organization's list is late: a new machine is not in it yet", async () => {
    const reply = await h.call("GET", "/v1/orgs/personal/machines");
    expect(reply).toMatchObject({ status: 200, body: { machines: [] } });
  });
});
