#!/usr/bin/env node
// riverhook-function build FUNCTION.js -o FUNCTION.wasm: makes a component of a module whose default export is a function
// over one record. Modules that it imports are bundled from the folder that it is in, and from node_modules.

import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { componentize } from "componentize-qjs";

const USAGE = "usage: riverhook-function build FUNCTION.js -o FUNCTION.wasm [--size]";

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

const options = {
  output: { type: "string", short: "o" },
  size: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
};
let command;
try {
  command = parseArgs({ options, allowPositionals: true });
} catch (error) {
  fail(`${error.message}\n${USAGE}`);
}
const { values, positionals } = command;
if (values.help) {
  process.stdout.write(`${USAGE}\n\nMakes a component of a module whose default export is a function over one record.
With --size it is smaller, and slower.\n`);
  process.exit(0);
}
if (positionals[0] !== "build" || positionals.length !== 2) fail(USAGE);

const source = resolve(positionals[1]);
const output = values.output ?? source.replace(/\.[cm]?js$/, "") + ".wasm";
const root = process.cwd();
const inside = relative(root, source);
if (inside.startsWith("..")) fail(`${positionals[1]} must be in the current folder or below it`);
await readFile(source).catch((error) => fail(`cannot read ${positionals[1]}: ${error.message}`));

// The engine's functions must be in place before the function's own module runs: modules run in the order of imports.
const entry = `
import "riverhook-function/component";
import { process } from "riverhook-function";
import * as module from ${JSON.stringify("./" + inside.split(sep).join("/"))};
if (typeof module.default !== "function") throw new Error("the default export must be a function over one record");
export const records = { process: (texts) => process(module.default, texts) };
`;
const here = dirname(fileURLToPath(import.meta.url));
// It must be a file, in the folder from which imports are found.
const entryFile = join(root, `.riverhook-entry-${process.pid}.mjs`);
await writeFile(entryFile, entry, { flag: "wx" });
try {
  const { component } = await componentize({
    witPath: join(here, "..", "wit"),
    jsSource: entry,
    jsPath: entryFile,
    moduleRoot: root,
    world: "record-function",
    stubWasi: true,
    sync: true,
    optSize: values.size,
  });
  await writeFile(output, component);
  process.stdout.write(`wrote ${output} (${component.length} bytes)\n`);
} catch (error) {
  process.exitCode = 1;
  // Of how the tool came to it only the end is of use.
  const message = error.message.replace(/^[:\s]*(Failed to [^:]*: )*(Error: )?/, "").trim();
  process.stderr.write(`cannot build ${positionals[1]}: ${message}\n`);
} finally {
  await rm(entryFile, { force: true });
}
