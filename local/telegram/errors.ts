/** An answer of the Bot API that is not a result. The description is Telegram's own wording, for clients match on it. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: number;
  /** Seconds; only with 429. */
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, description: string, retryAfterSeconds?: number) {
    super(description);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { ok: false, error_code: this.status, description: this.message };
    if (this.retryAfterSeconds !== undefined) body.parameters = { retry_after: this.retryAfterSeconds };
    return body;
  }
}

export interface ErrorBody {
  ok: false;
  error_code: number;
  description: string;
  parameters?: { retry_after: number };
}

export const badRequest = (description: string): ApiError => new ApiError(400, `Bad Request: ${description}`);
export const forbidden = (description: string): ApiError => new ApiError(403, `Forbidden: ${description}`);
export const unauthorized = (): ApiError => new ApiError(401, "Unauthorized");
export const methodNotFound = (): ApiError => new ApiError(404, "Not Found: method not found");
export const conflict = (description: string): ApiError => new ApiError(409, `Conflict: ${description}`);

export function tooManyRequests(retryAfterSeconds: number): ApiError {
  return new ApiError(429, `Too Many Requests: retry after ${retryAfterSeconds}`, retryAfterSeconds);
}
