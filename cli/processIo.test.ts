import { PassThrough } from "node:stream";
import { expect, it, onTestFinished, vi } from "vitest";
import { askerAt } from "./processIo.ts";

it("asks beside the result, and shows nothing of what is typed", async () => {
  const stdout = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  onTestFinished(() => stdout.mockRestore());
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = "";
  output.on("data", (chunk: Buffer) => (shown += chunk.toString()));
  const ask = askerAt({ input, output });
  const typing = async <T>(answer: Promise<T>, keys: string): Promise<T> => {
    // The prompt listens once it has been drawn.
    await vi.waitUntil(() => shown !== "");
    for (const key of keys) input.write(key);
    return await answer;
  };
  expect(await typing(ask.hidden("Value of foo"), "hunter2\r")).toBe("hunter2");
  expect(shown).toContain("Value of foo");
  expect(shown).not.toContain("hunter2");
  shown = "";
  expect(await typing(ask.confirm("Really?"), "y")).toBe(true);
  expect(shown).toContain("Really?");
  expect(stdout).not.toHaveBeenCalled();
});
