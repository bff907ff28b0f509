/** Keys are found where they stand, however TOML lets them be written. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { locateKeys } from './toml-lines.ts';

const SOURCE = [
  '# a comment with [brackets] and = signs', // 1
  'top = 1 # behind a value', // 2
  '"quoted key" . sub = "a # no comment ] }"', // 3
  "lit = 'C:\\'", // 4
  'multi = """', // 5
  '[not.a.table]', // 6
  'x = 1 \\""" still', // 7
  '""" # done', // 8
  'list = [ # first', // 9
  '  "a", "b",', // 10
  '  { in = 1, out = [2, 3] },', // 11
  '  5,', // 12
  ']', // 13
  '[[server]]', // 14
  'name = "a"', // 15
  '[server.deep]', // 16
  'key = 1979-05-27T07:32:00Z', // 17
  '[[server]]', // 18
  'name = "b"\r', // 19
  '[server.deep]', // 20
  'key = true', // 21
  "ml = '''", // 22
  "it's'''", // 23
  '[ spaced . "out" ]', // 24
  'deep.er.key = -inf', // 25
].join('\n');

test('every key has its line', () => {
  parse(SOURCE);
  const lines = locateKeys(SOURCE);
  const expected: [readonly (string | number)[], number][] = [
    [['top'], 2],
    [['quoted key', 'sub'], 3],
    [['lit'], 4],
    [['multi'], 5],
    [['list'], 9],
    [['list', 0], 10],
    [['list', 1], 10],
    [['list', 2], 11],
    [['list', 2, 'in'], 11],
    [['list', 2, 'out', 1], 11],
    [['list', 3], 12],
    [['server'], 14],
    [['server', 0], 14],
    [['server', 0, 'name'], 15],
    [['server', 0, 'deep'], 16],
    [['server', 0, 'deep', 'key'], 17],
    [['server', 1], 18],
    [['server', 1, 'name'], 19],
    [['server', 1, 'deep', 'key'], 21],
    [['server', 1, 'deep', 'ml'], 22],
    [['spaced', 'out'], 24],
    [['spaced', 'out', 'deep', 'er', 'key'], 25],
  ];
  for (const [path, line] of expected) assert.equal(lines.lineOf(path), line, JSON.stringify(path));
});

test('what has no line of its own is told with what is around it', () => {
  const lines = locateKeys(SOURCE);
  assert.equal(lines.lineOf(['server', 1, 'missing']), 18);
  assert.equal(lines.lineOf(['nothing']), 1);
});
