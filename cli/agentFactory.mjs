#!/usr/bin/env node
// `npx agent-factory …`. Plain JavaScript, so that it starts on any Node: the program itself is TypeScript, which
// the project's own Node runs.
import { start } from "../setup/run.mjs";

await start("cli/main.ts", process.argv.slice(2));
