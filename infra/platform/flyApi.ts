/** The calls to Fly that the stack makes: REST for apps and secrets, GraphQL for tokens that can be revoked. */
import { callPatiently, type HttpAnswer, type HttpCall } from "./http.ts";

/** @throws Error with the way to get a token when FLY_API_TOKEN is not set. */
export function flyToken(): string {
  const token = process.env["FLY_API_TOKEN"]?.trim();
  if (!token) {
    throw new Error(
      "FLY_API_TOKEN is not set. Create one with `fly tokens create org` and export it before `pulumi up`.",
    );
  }
  return token;
}

/** Tokens are handed out with their scheme (`FlyV1 fm2_…`); a bare token is a bearer token. */
export function flyAuthorization(token: string): string {
  return /^(FlyV1|Bearer) /.test(token)
    ? token
    : token.startsWith("fm")
      ? `FlyV1 ${token}`
      : `Bearer ${token}`;
}

/** Text of a failed call, as the rest of the system words it (spec H3); a refused token has its own. */
export function flyError(method: string, path: string, answer: HttpAnswer): Error {
  return new Error(
    answer.status === 401
      ? "Fly refused FLY_API_TOKEN (401). Create a new one with `fly tokens create org`."
      : `Fly API ${method} ${path} failed: ${answer.status} ${answer.text.slice(0, 500)}`,
  );
}

/** What a call sends: JSON, and the values in it that no error may show. */
export interface FlyPayload {
  json?: unknown;
  secrets?: readonly string[];
}

/** One call to the Machines API; the caller judges the status. */
export async function flyRest(
  apiUrl: string,
  method: HttpCall["method"],
  path: string,
  payload: FlyPayload = {},
): Promise<HttpAnswer> {
  return callPatiently({
    method,
    url: `${apiUrl.replace(/\/$/, "")}/v1${path}`,
    headers: { authorization: flyAuthorization(flyToken()) },
    ...payload,
  });
}

/** One GraphQL call. @throws Error with Fly's messages. */
export async function flyGraphql<T>(graphqlUrl: string, query: string, variables: unknown): Promise<T> {
  const answer = await callPatiently({
    method: "POST",
    url: graphqlUrl,
    headers: { authorization: flyAuthorization(flyToken()) },
    json: { query, variables },
  });
  if (answer.status === 401) throw flyError("POST", "/graphql", answer);
  const body = answer.body as {
    data?: T;
    errors?: Array<{ message: string }>;
  } | null;
  if (answer.status !== 200 || body?.errors?.length || !body?.data) {
    const reason = body?.errors?.map((error) => error.message).join("; ") ?? answer.text.slice(0, 500);
    throw new Error(`Fly API POST /graphql failed: ${answer.status} ${reason}`);
  }
  return body.data;
}
