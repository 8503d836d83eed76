/** The OpenAPI document as a document: valid by the specification's own schema, and complete. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "vitest";
import { openApiDocument } from "../../runtime/convex/api/openapi.ts";
import { operations } from "../../runtime/convex/api/operations/all.ts";

const SERVER = "https://happy-otter-1.convex.site/agent-factory/v1";

/** As it is served. */
// oxlint-disable-next-line typescript/no-explicit-any -- a document from the wire, bent out of shape below
const document = (): any => JSON.parse(JSON.stringify(openApiDocument(operations, SERVER)));

test("is valid OpenAPI 3.1, by the specification's schema", async () => {
  const validator = new Validator();
  expect(await validator.validate(document())).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
});

test("the validator would see what is wrong", async () => {
  const broken = document();
  broken.paths["/agents"].get.parameters = [{ name: "x", in: "nowhere" }];
  expect((await new Validator().validate(broken)).valid).toBe(false);
});

test("says for every operation who may call it, what it answers and that it may be refused", () => {
  for (const [path, methods] of Object.entries<Record<string, Record<string, unknown>>>(document().paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const name = `${method} ${path}`;
      expect(operation["operationId"], name).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation["summary"], name).toMatch(/\.$/);
      expect(operation["security"], name).toHaveLength(1);
      const statuses = Object.keys(operation["responses"] as object);
      expect(
        statuses.filter((status) => status.startsWith("2")),
        name,
      ).toHaveLength(1);
      for (const status of ["400", "401", "403", "404", "409", "413", "429", "500", "503"]) {
        expect(statuses, name).toContain(status);
      }
    }
  }
});
