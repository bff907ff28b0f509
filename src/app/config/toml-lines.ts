/**
 * Where each key of a TOML file stands. The parser (smol-toml) tells positions of syntax errors only, yet a mistake in
 * a well-formed file must be reported with its line as well. This walks over a text that is known to be well-formed
 * and notes the line of every key, table and array element; it understands no more of TOML than that takes.
 */

/** A place within the parsed document: keys and array indexes, from the top. */
export type KeyPath = readonly (string | number)[];

/** The lines (from 1 on) of a document's keys. */
export interface KeyLines {
  /** The line of `path`, or of the nearest thing around it that has one; 1 when nothing is. */
  lineOf(path: KeyPath): number;
}

/** Notes the lines of `source`, which the parser has accepted. */
export function locateKeys(source: string): KeyLines {
  const walker = new Walker(source);
  walker.document();
  const lines = walker.lines;
  return {
    lineOf(path) {
      for (let length = path.length; length > 0; length -= 1) {
        const line = lines.get(pathKey(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

const pathKey = (path: KeyPath): string => JSON.stringify(path);

/** Reads the text once, from left to right, keeping the current line. */
class Walker {
  readonly lines = new Map<string, number>();
  readonly #text: string;
  /** How many elements each array of tables has so far. */
  readonly #tables = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let table: KeyPath = [];
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      if (this.#text[this.#at] === '[') table = this.#header();
      else this.#keyValue(table);
    }
  }

  /** `[a.b]` or `[[a.b]]`; the result is the path of the table it opens. */
  #header(): KeyPath {
    const isArray = this.#text[this.#at + 1] === '[';
    this.#at += isArray ? 2 : 1;
    const line = this.#line;
    const names = this.#key();
    this.#at += isArray ? 2 : 1;
    let path: (string | number)[] = [];
    names.forEach((name, index) => {
      path = [...path, name];
      const key = pathKey(path);
      this.#note(path, line);
      const count = this.#tables.get(key);
      const last = index === names.length - 1;
      if (last && isArray) {
        this.#tables.set(key, (count ?? 0) + 1);
        path = [...path, count ?? 0];
      } else if (count !== undefined) {
        // A sub-table of an array of tables belongs to its newest element.
        path = [...path, count - 1];
      }
    });
    this.#note(path, line);
    return path;
  }

  #keyValue(table: KeyPath): void {
    const line = this.#line;
    const names = this.#key();
    for (let length = 1; length <= names.length; length += 1) this.#note([...table, ...names.slice(0, length)], line);
    this.#skipSpace();
    this.#at += 1; // the equals sign
    this.#skipSpace();
    this.#value([...table, ...names]);
  }

  /** A dotted key; stops before the `=` or `]` behind it. */
  #key(): string[] {
    const names: string[] = [];
    for (;;) {
      this.#skipSpace();
      const first = this.#text[this.#at];
      if (first === '"' || first === "'") names.push(this.#string());
      else {
        const bare = /[A-Za-z0-9_-]*/y;
        bare.lastIndex = this.#at;
        const name = bare.exec(this.#text)?.[0] ?? '';
        names.push(name);
        this.#at += name.length;
      }
      this.#skipSpace();
      if (this.#text[this.#at] !== '.') return names;
      this.#at += 1;
    }
  }

  #value(path: KeyPath): void {
    const first = this.#text[this.#at];
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#array(path);
    else if (first === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}#\r\n]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #array(path: KeyPath): void {
    this.#at += 1;
    for (let index = 0; ;) {
      this.#skipBlank();
      const next = this.#text[this.#at];
      if (next === undefined) return;
      if (next === ']') break;
      if (next === ',') {
        this.#at += 1;
        index += 1;
        continue;
      }
      this.#note([...path, index], this.#line);
      this.#value([...path, index]);
    }
    this.#at += 1;
  }

  #inlineTable(path: KeyPath): void {
    this.#at += 1;
    for (;;) {
      this.#skipBlank();
      const next = this.#text[this.#at];
      if (next === undefined) return;
      if (next === '}') break;
      if (next === ',') this.#at += 1;
      else this.#keyValue(path);
    }
    this.#at += 1;
  }

  /** Any of the four kinds of string; the result is exact for strings without escapes, which names of keys are. */
  #string(): string {
    const quote = this.#text[this.#at] ?? '"';
    const triple = this.#text.startsWith(quote.repeat(3), this.#at);
    const end = triple ? quote.repeat(3) : quote;
    this.#at += end.length;
    const from = this.#at;
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at)) {
      if (quote === '"' && this.#text[this.#at] === '\\') this.#at += 1;
      this.#step();
    }
    const content = this.#text.slice(from, this.#at);
    this.#at += end.length;
    // Up to two quotes may stand directly before the closing three.
    while (triple && this.#text[this.#at] === quote) this.#at += 1;
    return content;
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at += 1;
  }

  /** Spaces, line ends and comments. */
  #skipBlank(): void {
    for (;;) {
      const next = this.#text[this.#at];
      if (next === '#') while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at += 1;
      else if (next === ' ' || next === '\t' || next === '\r' || next === '\n') this.#step();
      else return;
    }
  }

  #step(): void {
    if (this.#text[this.#at] === '\n') this.#line += 1;
    this.#at += 1;
  }

  #note(path: KeyPath, line: number): void {
    const key = pathKey(path);
    if (!this.lines.has(key)) this.lines.set(key, line);
  }
}
