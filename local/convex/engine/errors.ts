/** What the caller of a function sees when the function's own code or data is at fault. */
export class FunctionError extends Error {
  override readonly name = "FunctionError";
  /** The JSON-encoded payload of a ConvexError, null for every other error. */
  readonly data: string | null;

  constructor(message: string, data: string | null = null) {
    super(message);
    this.data = data;
  }
}

/** A request that the deployment refuses. `status` is the HTTP status, `code` Convex's short name for it. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The transaction read something that another one has since committed over: run it again. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
  readonly tableName: string;

  constructor(tableName: string) {
    super(
      `Documents read from or written to the "${tableName}" table changed while this mutation was being run and on every subsequent retry. Another call to this mutation changed the same documents.`,
    );
    this.tableName = tableName;
  }
}
