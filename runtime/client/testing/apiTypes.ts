/** The types of the consumer API's operations, generated from the document that a deployment serves. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@hey-api/openapi-ts";
import { format } from "prettier";

interface Documented {
  operationId: string;
  parameters?: Array<{ name: string }>;
  responses: Record<string, unknown>;
}

export interface ApiDocument {
  servers: unknown;
  paths: Record<string, Record<string, Documented>>;
}

const HEADER = `/**
 * Generated from the deployment's openapi.json; do not edit. After a change of the API:
 * \`npx vitest run --project node runtime/client/src/contract.test.ts --update\`
 */
`;

/**
 * Every operation refuses in the same shape, and the client's one error class carries it: the refusals are left
 * out, and the address, which differs from deployment to deployment.
 */
function withoutRefusals(document: ApiDocument): ApiDocument {
  const paths = Object.entries(document.paths).map(([path, methods]) => {
    const operations = Object.entries(methods).map(([method, operation]) => {
      const answers = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"));
      return [method, { ...operation, responses: Object.fromEntries(answers) }];
    });
    return [path, Object.fromEntries(operations)];
  });
  return { ...document, servers: undefined, paths: Object.fromEntries(paths) };
}

/** @returns the text of `src/api.gen.ts`. */
export async function generateApiTypes(document: ApiDocument): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "api-types-"));
  try {
    await createClient({
      input: JSON.parse(JSON.stringify(withoutRefusals(document))) as Record<string, unknown>,
      output: { path: folder, entryFile: false },
      plugins: ["@hey-api/typescript"],
      logs: { level: "silent", file: false },
    });
    const text = await readFile(join(folder, "types.gen.ts"), "utf8");
    const ours = text
      .replace(/^\/\/.*\n/, HEADER)
      // The address is the transport's matter.
      .replace(/export type ClientOptions = \{[\s\S]*?\n\};\n\n/, "")
      // The document's name for the error's body would hide the language's own Error.
      .replace("export type Error = ", "export type ErrorBody = ");
    return await format(ours, { parser: "typescript", printWidth: 110 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
