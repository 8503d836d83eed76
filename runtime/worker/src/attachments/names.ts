/** Names of files that come from people: kept recognisable, never able to leave their folder. */

const NAME_CHARS_MAX = 80;

/** A plain file name made of letters, digits, `.`, `_`, `-` and spaces; `fallback` when nothing remains. */
export function safeFileName(name: string | undefined, fallback: string): string {
  const base = (name ?? "").normalize("NFC").split(/[/\\]/).at(-1) ?? "";
  const clean = base
    .replaceAll(/[^\p{L}\p{N}._ -]/gu, "_")
    .replace(/^[. ]+/, "")
    .trim();
  if (clean === "") return fallback;
  if (clean.length <= NAME_CHARS_MAX) return clean;
  const dot = clean.lastIndexOf(".");
  const extension = dot > 0 && clean.length - dot <= 10 ? clean.slice(dot) : "";
  return clean.slice(0, NAME_CHARS_MAX - extension.length) + extension;
}
