/** The skill that the demo adds to the worker, and takes away again however it ends. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NAME = "demo-greeting";

const folderIn = (root: string): string => join(root, "runtime", "worker", "skills", NAME);

export function removeDemoSkill(root: string): void {
  rmSync(folderIn(root), { recursive: true, force: true });
}

/**
 * Writes a skill with a text that no earlier run had, so that the image changes. It lies among the project's own: were
 * it left behind, the next `pulumi up` of any stack would ship it. A killed process leaves it to the next demo's start.
 */
export function addDemoSkill(root: string): void {
  const folder = folderIn(root);
  process.once("exit", () => removeDemoSkill(root));
  mkdirSync(folder, { recursive: true });
  const nonce = randomBytes(4).toString("hex");
  const manifest = {
    name: NAME,
    version: "1.0.0",
    description: "Greets a person by name.",
    license: "Apache-2.0",
  };
  writeFileSync(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(
    join(folder, "SKILL.md"),
    `---\nname: ${NAME}\ndescription: Greets a person by name (made by the demo, ${nonce}).\n---\n\nGreet the person by name, in one sentence.\n`,
  );
}
