import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Profile } from "../../../convex/validators.ts";
import { applyProfile, parseTemplateRecord } from "./profileFiles.ts";
import { composePrompt } from "./prompt.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-profile-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const profile = (soulMd: string, clientMd?: string): Profile => ({
  agentKey: "default",
  version: "1",
  revision: 1,
  soulMd,
  ...(clientMd === undefined ? {} : { clientMd }),
  skills: [],
  toolPolicy: { allow: [] },
  bridgeFunctions: [],
});
const text = (path: string) => readFile(join(dir, path), "utf8");

describe("templates", () => {
  test("a new conversation gets soul and client notes as files", async () => {
    await applyProfile(dir, profile("soul 1", "client 1"), {});
    expect([await text("SOUL.md"), await text("AGENTS.md")]).toEqual(["soul 1", "client 1"]);
  });

  test("an edited profile replaces what the agent left untouched", async () => {
    const record = await applyProfile(dir, profile("soul 1"), {});
    await applyProfile(dir, profile("soul 2"), record);
    expect(await text("SOUL.md")).toBe("soul 2");
  });

  test("what the agent wrote is never overwritten, and the operator's words still reach the model", async () => {
    const record = await applyProfile(dir, profile("soul 1"), {});
    await writeFile(join(dir, "SOUL.md"), "the agent's own soul");
    const after = await applyProfile(dir, profile("soul 2"), record);
    expect(await text("SOUL.md")).toBe("the agent's own soul");
    const prompt = await composePrompt(dir, profile("soul 2"), []);
    expect(prompt).toContain("the agent's own soul");
    expect(prompt).toContain("soul 2");
    await applyProfile(dir, profile("soul 3"), after);
    expect(await text("SOUL.md")).toBe("the agent's own soul");
  });

  test("a file that the agent removed stays removed", async () => {
    const record = await applyProfile(dir, profile("soul 1", "client 1"), {});
    await rm(join(dir, "AGENTS.md"));
    await applyProfile(dir, profile("soul 1", "client 2"), record);
    await expect(text("AGENTS.md")).rejects.toThrow("ENOENT");
    expect(await composePrompt(dir, profile("soul 1", "client 2"), [])).toContain("client 2");
  });

  test("client notes that the profile drops go, unless the agent made them its own", async () => {
    const record = await applyProfile(dir, profile("soul", "client"), {});
    await applyProfile(dir, profile("soul"), record);
    await expect(text("AGENTS.md")).rejects.toThrow("ENOENT");
  });

  test("a link in a template's place is not written through", async () => {
    const target = join(dir, "target");
    await writeFile(target, "untouched");
    await symlink(target, join(dir, "SOUL.md"));
    await applyProfile(dir, profile("soul"), {});
    expect(await text("target")).toBe("untouched");
    expect(await text("SOUL.md")).toBe("soul");
  });

  test("the record survives a move", () => {
    expect(parseTemplateRecord(Buffer.from('{"SOUL.md":"abc"}'))).toEqual({ "SOUL.md": "abc" });
    expect(parseTemplateRecord(undefined)).toEqual({});
  });
});

test("memory and the other files of the agent are part of the prompt, shortened when long", async () => {
  await writeFile(join(dir, "MEMORY.md"), "the person likes tea");
  await writeFile(join(dir, "USER.md"), "x".repeat(30_000));
  const prompt = await composePrompt(dir, profile("soul"), []);
  expect(prompt).toContain("# MEMORY.md\nthe person likes tea");
  expect(prompt).toContain("[shortened]");
  expect(prompt.length).toBeLessThan(25_000);
});
