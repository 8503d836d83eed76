import type { Catalog } from "./catalog.ts";
import { FunctionError } from "./errors.ts";

interface Addressed {
  readonly id: string;
  /** The table that the caller named, as in `db.get("messages", id)`. */
  readonly table?: string;
  readonly isSystem?: boolean;
}

/**
 * Checks that an id may be used with this operation.
 * @returns the id
 */
export function withTableCheck(catalog: Catalog, operation: string, args: Addressed): string {
  const owner = catalog.tableOfId(args.id);
  if (owner === null) {
    throw new FunctionError(
      `Invalid argument \`id\` for \`db.${operation}\`: Unable to decode ID: Invalid ID "${args.id.slice(0, 64)}"`,
    );
  }
  const system = owner.name.startsWith("_");
  if (args.table !== undefined && args.table !== owner.name) {
    throw new FunctionError(
      `Invalid argument \`id\` for \`db.${operation}\`: expected an ID of table "${args.table}" but got ID "${args.id}" of table "${owner.name}".`,
    );
  }
  if (system && args.isSystem !== true) {
    throw new FunctionError(
      operation === "get"
        ? "System tables can only be accessed from db.system.get()."
        : `System tables (prefixed with \`_\`) are read-only; \`db.${operation}\` got an ID of "${owner.name}".`,
    );
  }
  if (!system && args.isSystem === true) {
    throw new FunctionError(`User tables can only be accessed from db.${operation}(), not from db.system.`);
  }
  return args.id;
}
