// One run as columns: every span is a number, a row. Batches of columns are added as they come, in any order.

import { duration, UNKNOWN } from "./format.js";

export class Trace {
  constructor(id) {
    this.id = id;
    this.base = null;
    this.words = [""];
    this.numbers = new Map([["", 0]]);
    this.rows = new Map();
    this.size = 0;
    this.ids = [];
    this.parents = []; // row of the parent, or its id while it is not known, or null
    this.start = [];
    this.taken = []; // duration in ns, -1 while the span is open
    this.name = [];
    this.kind = [];
    this.status = [];
    this.run = [];
    this.brief = [];
    this.facts = [[], [], [], []]; // model, agent, iteration, what is known of the times where that is less than the times
    this.calls = new Map(); // row → tokens and money
    this.errors = new Map();
    this.events = new Map();
    this.links = new Map();
    this.late = new Map();
    this.logs = [];
    this.findings = [];
    this.found = new Set();
    this.scores = [];
    this.whole = {}; // session, user and outcome of the run
    this.critical = new Set(); // rows that the critical path leads through, none where it leads through all
    this.runs = new Map();
    this.pieces = null;
    this.live = false;
    this.ends = new Map(); // process with open spans → its last sign of life in ns, null while it is alive
    this.lines = 0;
    this.lastSign = 0;
  }

  add(told) {
    const base = BigInt(told.base);
    this.base ??= base;
    const shift = Number(base - this.base);
    const word = told.words.map((text) => this.word(text));
    const placed = this.addSpans(told.spans, shift, word);
    this.addSparse(told.spans, placed, shift, word);
    for (const late of told.updates) this.addLate(late, word);
    for (const [at, level, event, message, span, logger, metadata] of told.logs) {
      this.logs.push({ at: at + shift, level: this.words[word[level]], event: this.words[word[event]], message, span, logger, metadata });
      this.sign(at + shift);
    }
    this.learn(told);
    for (const [span, at, name, value, label, source] of told.scores) this.scores.push({ span, at: at + shift, name, value, label, source });
    for (const [name, value] of Object.entries(told.whole)) if (value !== null) this.whole[name] = value;
    for (const run of told.runs) this.runs.set(run.run, { ...run, start: run.start + shift });
    if (told.pieces) this.pieces = told.pieces;
    if (told.lines !== undefined) this.lines = told.lines;
    if (told.live !== undefined) this.live = told.live;
    for (const [run, sign] of Object.entries(told.ends ?? {})) this.ends.set(run, sign === null ? null : Number(BigInt(sign) - this.base));
    if (told.now) {
      this.serverNow = Number(BigInt(told.now) - this.base);
      this.heard = performance.now();
    }
  }

  word(text) {
    let number = this.numbers.get(text);
    if (number === undefined) {
      number = this.words.push(text) - 1;
      this.numbers.set(text, number);
    }
    return number;
  }

  addSpans(spans, shift, word) {
    const open = this.word("open");
    const placed = new Int32Array(spans.id.length);
    for (const id of spans.id) if (!this.rows.has(id)) this.rows.set(id, this.size++);
    for (let place = 0; place < placed.length; place++) {
      const id = spans.id[place];
      const ended = spans.duration[place] !== null;
      const start = spans.start[place] + shift;
      const row = this.rows.get(id);
      const known = this.ids[row] !== undefined;
      if (known && (!ended || (this.taken[row] >= 0 && this.start[row] + this.taken[row] >= start + spans.duration[place]))) {
        placed[place] = -1; // known, and it ended later than this says
        continue;
      }
      placed[place] = row;
      this.ids[row] = id;
      const parent = spans.parent[place];
      this.parents[row] = typeof parent === "number" ? this.rows.get(spans.id[parent]) : parent;
      this.start[row] = start;
      this.name[row] = word[spans.name[place]];
      this.kind[row] = word[spans.kind[place]];
      this.status[row] = word[spans.status[place]];
      this.taken[row] = ended && this.status[row] !== open ? Math.max(0, spans.duration[place]) : -1;
      this.run[row] = word[spans.run[place]];
      this.brief[row] = spans.brief[place];
      for (const fact of this.facts) fact[row] = 0;
      this.sign(start + (spans.duration[place] ?? 0));
    }
    return placed;
  }

  addSparse(spans, placed, shift, word) {
    for (const fact of spans.facts) if (placed[fact[0]] >= 0) this.facts[fact[1]][placed[fact[0]]] = word[fact[2]];
    for (const call of spans.usage) if (placed[call[0]] >= 0) this.calls.set(placed[call[0]], callOf(call, this.words[word[call[7]]]));
    for (const [place, text] of spans.errors) if (placed[place] >= 0) this.errors.set(placed[place], text);
    for (const [place, at, name] of spans.events) {
      if (placed[place] < 0) continue;
      const held = this.events.get(placed[place]) ?? [];
      held.push({ at: at + shift, name: this.words[word[name]] });
      this.events.set(placed[place], held);
    }
    for (const row of this.late.size ? placed : []) {
      const late = row >= 0 && this.late.get(this.ids[row]);
      if (late) this.calls.set(row, { ...this.calls.get(row), ...late });
    }
  }

  addLate([id, input, output, cached, cacheWrite, reasoning, usd, basis, searches], word) {
    const told = { ...(input !== null || output !== null ? { input, output, cached, cacheWrite, reasoning, searches } : {}), ...(basis !== null ? { usd: usd === null ? NaN : Number(usd), basis: this.words[word[basis]] } : {}) };
    const late = { ...this.late.get(id), ...told };
    this.late.set(id, late);
    const row = this.rows.get(id);
    if (row !== undefined && Object.keys(late).length) this.calls.set(row, { usd: NaN, basis: "", ...this.calls.get(row), ...late });
  }

  // What is known of a run as a whole; says whether that is more than was known.
  learn(told) {
    if (told.path) this.critical = new Set(told.path.length < this.size ? told.path.map((id) => this.rows.get(id)) : []);
    return this.addFindings(told) || Boolean(told.path);
  }

  // The same finding may come twice: as it was recorded and as it was made afterwards. Of a pattern that goes on the
  // last one stays.
  addFindings(told) {
    const shift = Number(BigInt(told.base) - this.base);
    const before = this.found.size;
    for (const [at, severity, detector, message, spans, advice, pattern] of told.findings) {
      const key = `${detector} ${spans.join(" ")}`;
      if (this.found.has(key)) continue;
      this.found.add(key);
      const earlier = this.findings.findIndex((one) => one.pattern === pattern);
      if (earlier >= 0 && this.findings[earlier].at > at + shift) continue;
      if (earlier >= 0) this.findings.splice(earlier, 1);
      this.findings.push({ at: at + shift, severity, detector, message, spans, advice, pattern });
    }
    this.findings.sort((one, other) => one.at - other.at);
    return this.found.size > before;
  }

  sign(moment) {
    if (moment > this.lastSign) this.lastSign = moment;
  }

  // The moment in ns since the base up to which open spans last.
  now() {
    return this.live ? Math.max(this.lastSign, this.serverNow + (performance.now() - this.heard) * 1e6) : this.lastSign;
  }

  lasts(row) {
    return this.taken[row] >= 0 ? this.taken[row] : Math.max(0, (this.goneAt(row) ?? this.now()) - this.start[row]);
  }

  // How long a span took in words.
  took(row) {
    return this.isTimed(row) ? duration(this.lasts(row)) : UNKNOWN;
  }

  // Whether its times are known, not only its place in the order.
  isTimed(row) {
    return this.facts[3][row] === 0;
  }

  // The last sign of life of the process of an open span that is known to be gone; null where it is not.
  goneAt(row) {
    return this.ends.get(this.words[this.run[row]]) ?? null;
  }

  // Whose run an agent's is, where its name does not say so.
  whoseOf(row) {
    const agent = this.kindOf(row) === "agent" ? this.fact(row, 1) : "";
    return this.nameOf(row).includes(agent) ? "" : agent;
  }

  nameOf(row) {
    return this.words[this.name[row]];
  }

  kindOf(row) {
    return this.words[this.kind[row]];
  }

  // ok, error, cancelled, running, or unfinished where the process went away
  statusOf(row) {
    const status = this.words[this.status[row]];
    return status !== "open" ? status : this.live && this.goneAt(row) === null ? "running" : "unfinished";
  }

  fact(row, place) {
    return this.words[this.facts[place][row]];
  }

  wallMs(ns) {
    return Number(this.base / 1_000_000n) + (Number(this.base % 1_000_000n) + ns) / 1e6;
  }
}

function callOf(told, basis) {
  const usd = told[6];
  return { input: told[1], output: told[2], cached: told[3], cacheWrite: told[4], reasoning: told[5], searches: told[8], usd: usd === null || basis === "unpriced" ? NaN : Number(usd), basis };
}
