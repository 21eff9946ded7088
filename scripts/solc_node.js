#!/usr/bin/env node
// The npm compiler behind the two options of a native solc that py-solc-x uses. Every source arrives inline in the
// standard JSON, so there is no import callback and nothing is read from disk.
"use strict";

const fs = require("fs");
const solc = require("solc");

const options = process.argv.slice(2);
if (options.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (options.includes("--standard-json")) {
  // No process.exit: it would cut off what a pipe has not taken yet.
  process.stdout.write(solc.compile(fs.readFileSync(0, "utf8")));
} else {
  console.error("usage: solc_node.js --version | --standard-json < input.json");
  process.exitCode = 2;
}
