#!/usr/bin/env node
/**
 * The `holdfast` command: starts the compiled program, or says how to compile it.
 *
 * CommonJS, because the number of threads for file I/O has to be set before the first of them is started, and loading an
 * ES module starts them.
 */
'use strict';
const { existsSync } = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

/**
 * Node's own 4 would be too few: a medium that hangs keeps up to 16 of them per volume, and a journal, the record and
 * the own entry must never wait for one.
 */
process.env.UV_THREADPOOL_SIZE ??= '32';

const main = path.join(__dirname, '..', 'dist', 'src', 'app', 'cli', 'main.js');

if (existsSync(main)) {
  process.setSourceMapsEnabled(true);
  void import(pathToFileURL(main).href);
} else {
  console.error('holdfast has not been built yet. In its folder, run:');
  console.error(`  cd ${path.join(__dirname, '..')} && npm run build`);
  process.exitCode = 1;
}
