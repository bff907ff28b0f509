#!/usr/bin/env node
/**
 * The `holdfast` command: starts the compiled program, or says how to compile it.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/src/app/cli/main.js', import.meta.url);

if (existsSync(main)) {
  process.setSourceMapsEnabled(true);
  await import(main.href);
} else {
  console.error('holdfast has not been built yet. In its folder, run:');
  console.error(`  cd ${fileURLToPath(new URL('..', import.meta.url))} && npm run build`);
  process.exitCode = 1;
}
