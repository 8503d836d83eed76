/** A terminal that is closed, or `| head -1`: what runs goes on and is stopped in order, and said to nobody. */
export function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}
