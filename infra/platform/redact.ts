/** Keeps secrets out of what people read: a server may quote a request in its refusal. */

/** Shorter strings are not searched for: they would blot out ordinary words. */
const LENGTH_MIN = 4;

/** As it is, as JSON writes it, and as JSON writes a text that quotes JSON. */
function formsOf(secret: string): string[] {
  const once = JSON.stringify(secret).slice(1, -1);
  return [secret, once, JSON.stringify(once).slice(1, -1)];
}

/** `text` without any of `secrets`, however they are quoted in it. */
export function redact(text: string, secrets: readonly string[]): string {
  const forms = secrets
    .filter((secret) => secret.length >= LENGTH_MIN)
    .flatMap(formsOf)
    // A secret that contains another one is blotted out whole.
    .sort((a, b) => b.length - a.length);
  let clean = text;
  for (const form of forms) clean = clean.replaceAll(form, "[redacted]");
  return clean;
}
