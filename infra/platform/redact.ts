/** Keeps secrets out of what people read: a server may quote a request in its refusal. */

/** Shorter strings are not searched for: they would blot out ordinary words. */
const LENGTH_MIN = 4;

/** `text` without any of `secrets`, neither as they are nor as JSON writes them. */
export function redact(text: string, secrets: readonly string[]): string {
  const forms = secrets
    .filter((secret) => secret.length >= LENGTH_MIN)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    // A secret that contains another one is blotted out whole.
    .sort((a, b) => b.length - a.length);
  let clean = text;
  for (const form of forms) clean = clean.replaceAll(form, "[redacted]");
  return clean;
}
