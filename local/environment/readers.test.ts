import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

test("a program outlives whoever reads what it says", async () => {
  const program = `
    import { outliveReaders } from ${JSON.stringify(join(import.meta.dirname, "readers.ts"))};
    outliveReaders();
    let lines = 0;
    const timer = setInterval(() => {
      console.log("a line");
      lines += 1;
      if (lines < 5) return;
      clearInterval(timer);
      process.exitCode = 7;
    }, 20);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout.destroy();
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect([code, stderr]).toEqual([7, ""]);
});
