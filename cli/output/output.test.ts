import { describe, expect, it } from "vitest";
import { CliError, exitCodes } from "../errors.ts";
import { Output } from "./output.ts";
import { printable } from "./printable.ts";
import { tableLines } from "./table.ts";
import { ago, duration, parseDuration, when } from "./time.ts";

const plain = { width: null, bold: (text: string) => text };

describe("a table", () => {
  const columns = [
    { title: "NAME", cell: (row: { name: string; n: number | null }) => row.name },
    { title: "N", cell: (row: { name: string; n: number | null }) => row.n, align: "right" as const },
  ];

  it("aligns its columns and shows what is missing as a dash", () => {
    expect(
      tableLines(
        columns,
        [
          { name: "a", n: 12 },
          { name: "long name", n: null },
        ],
        plain,
      ),
    ).toEqual(["NAME        N", "a          12", "long name   –"]);
  });

  it("cuts the last column to the terminal's width and nothing in a file", () => {
    const wide = [{ title: "A", cell: (row: string) => row }];
    const text = "x".repeat(40);
    expect(tableLines(wide, [text], { ...plain, width: 20 })[1]).toBe(`${"x".repeat(19)}…`);
    expect(tableLines(wide, [text], plain)[1]).toBe(text);
  });

  it("gives each row lines of its own where even that would let lines wrap", () => {
    const wide = [
      { title: "ID", cell: (row: string) => row },
      { title: "MISSING", cell: () => null },
      { title: "LAST ERROR", cell: (row: string) => `${row} failed at its end` },
    ];
    const rows = ["k1".padEnd(20, "x"), "k2"];
    expect(tableLines(wide, rows, { ...plain, width: 46 })).toEqual([
      `ID          ${rows[0]}`,
      `LAST ERROR  ${rows[0]} failed at its end`,
      "",
      "ID          k2",
      "LAST ERROR  k2 failed at its end",
    ]);
    expect(tableLines(wide, rows, { ...plain, width: 47 })[0]).toMatch(/^ID +MISSING +LAST ERROR$/);
  });

  it("obeys no control characters of what it shows", () => {
    const lines = tableLines(columns, [{ name: "\u001b[2Jboo\nline", n: 1 }], plain);
    expect(lines[1]).toBe("\\x1b[2Jboo⏎line  1");
    expect(printable("a\u202eb")).toBe("a\\x202eb");
  });
});

describe("times", () => {
  it("reads as people say them", () => {
    expect(duration(850)).toBe("850 ms");
    expect(duration(95_000)).toBe("95 s");
    expect(duration(3 * 3_600_000)).toBe("3 h");
    expect(ago(1_000, 4_000)).toBe("3.0 s ago");
    expect(ago(4_000, 1_000)).toBe("in 3.0 s");
    expect(ago(null, 1)).toBeNull();
    expect(when(0)).toBe("1970-01-01T00:00:00Z");
  });

  it("are given with a unit, which a bare number lacks", () => {
    expect(parseDuration("--ttl", "15m")).toBe(900_000);
    expect(() => parseDuration("--ttl", "15")).toThrow(
      "--ttl must be a duration such as 90s, 15m or 2h, got '15'.",
    );
  });
});

describe("output", () => {
  const sinks = () => {
    const text = { out: "", err: "" };
    const io = {
      env: {},
      stdout: { write: (chunk: string) => (text.out += chunk) },
      stderr: { write: (chunk: string) => (text.err += chunk) },
    };
    return { text, io };
  };
  const failure = new CliError(exitCodes.failed, "conflict", "It is so.", "Do this.");

  it("tells a failure to people on stderr, with what to run next", () => {
    const { text, io } = sinks();
    new Output(io, false).failure(failure);
    expect(text).toEqual({ out: "", err: "error It is so.\n  → Do this.\n" });
  });

  it("tells a failure to scripts as the one document on stdout", () => {
    const { text, io } = sinks();
    new Output(io, true).failure(failure);
    expect(JSON.parse(text.out)).toEqual({
      error: { code: "conflict", message: "It is so.", next: "Do this.", exitCode: 1 },
    });
    expect(text.err).toBe("");
  });

  it("prints one document even when a command fails after its result", () => {
    const { text, io } = sinks();
    const out = new Output(io, true);
    out.result({ ok: false }, () => []);
    out.failure(failure);
    expect(JSON.parse(text.out)).toEqual({ ok: false });
    expect(text.err).toContain("It is so.");
  });
});
