/**
 * Text from elsewhere as it may go to a terminal: control characters are shown, not obeyed. A person chooses
 * some of it (names of conversations, errors of providers) and must not steer an operator's terminal.
 */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) =>
    character === "\n"
      ? "⏎"
      : character === "\t"
        ? " "
        : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
