// Which rows of a tree are in sight: what is folded, what the filter keeps, where logs stand among the spans.

import { parse, compare, nanoseconds } from "./query.js";
import { scoreTold } from "./format.js";

const UNFOLDED = 1500;

export class Sight {
  constructor(trace) {
    this.trace = trace;
    this.folded = new Map(); // span id → whether it is folded by hand
    this.depth = Infinity; // deeper spans are folded unless somebody opened them
    this.withLogs = false;
    this.matches = null; // row → 1 where the filter keeps it; null without a filter
    this.kept = null; // the same with what lies above
    this.hits = 0;
    this.found = null; // rows in whose contents the words stand
    this.list = new Int32Array(0); // rows; -1 - n for log n of the tree
  }

  // Folds a big tree so far that it can be overlooked.
  foldFor(tree) {
    const counts = [];
    for (const deep of tree.depth) counts[deep] = (counts[deep] ?? 0) + 1;
    let sum = 0;
    this.depth = Infinity;
    for (let deep = 0; deep < counts.length; deep++) {
      sum += counts[deep];
      if (sum > UNFOLDED && deep > 0) {
        this.depth = Math.max(2, deep);
        break;
      }
    }
  }

  isFolded(tree, row) {
    return this.folded.get(this.trace.ids[row]) ?? tree.depth[row] >= this.depth - 1;
  }

  // Whether what lies below a row is out of sight; a filter shows what it keeps wherever it lies.
  isShut(tree, row) {
    return tree.first[row] >= 0 && (this.kept ? this.folded.get(this.trace.ids[row]) === true : this.isFolded(tree, row));
  }

  fold(row, folded) {
    this.folded.set(this.trace.ids[row], folded);
  }

  foldAll(tree, folded) {
    this.folded.clear();
    this.depth = folded ? 1 : Infinity;
    if (folded) for (const root of tree.roots) this.fold(root, false);
    if (folded) this.depth = 2;
  }

  filter(tree, query) {
    const conditions = parse(query);
    if (!conditions.length) {
      this.matches = this.kept = null;
      this.hits = tree.trace.size;
      return;
    }
    this.matches = matching(tree, conditions, this.found);
    this.kept = this.matches.slice();
    this.hits = 0;
    for (let at = tree.order.length - 1; at >= 0; at--) {
      const row = tree.order[at];
      this.hits += this.matches[row];
      if (this.kept[row] && tree.parent[row] >= 0) this.kept[tree.parent[row]] = 1;
    }
  }

  // The rows in sight, from the top.
  look(tree) {
    const { order, end } = tree;
    const list = [];
    const open = new Uint8Array(order.length);
    const logs = this.withLogs && !this.kept ? tree.logs : [];
    let log = 0;
    let at = 0;
    while (at < order.length) {
      log = this.logsBefore(at, logs, log, open, list);
      const row = order[at];
      if (this.kept && !this.kept[row]) {
        at = end[row];
        continue;
      }
      list.push(row);
      const folded = this.isShut(tree, row);
      open[row] = folded ? 0 : 1;
      at = folded ? end[row] : at + 1;
    }
    this.logsBefore(at, logs, log, open, list);
    this.list = Int32Array.from(list);
    return this.list;
  }

  logsBefore(at, logs, from, open, list) {
    let log = from;
    while (log < logs.length && logs[log].before <= at) {
      if (open[logs[log].row]) list.push(-1 - log);
      log++;
    }
    return log;
  }

  // Opens everything above a row, so that it is in sight.
  expose(tree, row) {
    for (let above = tree.parent[row]; above >= 0; above = tree.parent[above]) {
      if (this.isFolded(tree, above)) this.fold(above, false);
    }
    if (this.kept && !this.kept[row]) return false;
    return true;
  }
}

// row → 1 where all conditions are true of it
export function matching(tree, conditions, found) {
  const { trace } = tree;
  const matches = new Uint8Array(trace.size).fill(1);
  for (const condition of conditions) {
    const test = tester(tree, condition, found);
    for (let row = 0; row < trace.size; row++) if (matches[row] && test(row) === condition.not) matches[row] = 0;
  }
  return matches;
}

// Words are compared once each, not once a span.
function tester(tree, { key, sign, text, number, ...rest }, found) {
  const { trace } = tree;
  const words = trace.words.map((word) => word.toLowerCase().includes(text));
  const tool = trace.numbers.get("tool");
  switch (key) {
    case "kind":
      return (row) => words[trace.kind[row]];
    case "status":
      return (row) => trace.statusOf(row).includes(text);
    case "name":
      return (row) => words[trace.name[row]];
    case "tool":
      return (row) => trace.kind[row] === tool && words[trace.name[row]];
    case "model":
      return (row) => trace.facts[0][row] > 0 && words[trace.facts[0][row]];
    case "agent":
      return (row) => trace.facts[1][row] > 0 && words[trace.facts[1][row]];
    case "is":
      return (row) => text === "critical" && trace.critical.has(row);
    case "session":
    case "user":
    case "age": // those of the run as a whole
      return () => true;
    case "id":
      return (row) => trace.ids[row].startsWith(text);
    case "finding":
      return about(trace, text);
    case "score":
      return judged(tree, { sign, text, number });
    case "dur":
      return (row) => compare(sign, trace.isTimed(row) ? trace.lasts(row) : NaN, nanoseconds({ text, number, ...rest }));
    case "cost":
      return (row) => compare(sign, trace.calls.get(row)?.usd ?? NaN, number);
    case "tokens":
      return (row) => compare(sign, tokens(trace.calls.get(row)), number);
    case "errors":
      return (row) => compare(sign, tree.failures[row], number);
    case "spans":
      return (row) => compare(sign, tree.end[row] - tree.place[row], number);
    default:
      return (row) => words[trace.name[row]] || trace.brief[row].toLowerCase().includes(text) || words[trace.facts[0][row]] || (trace.errors.get(row)?.toLowerCase().includes(text) ?? false) || (found?.get(text)?.has(row) ?? false);
  }
}

function about(trace, text) {
  const rows = new Set();
  for (const one of trace.findings) {
    if (text === "any" || one.detector.includes(text) || one.severity === text) for (const id of one.spans) rows.add(trace.rows.get(id));
  }
  return (row) => rows.has(row);
}

// The spans that were judged so; of the run as a whole its root was.
function judged({ trace, roots }, { sign, text, number }) {
  const fits = ({ name, value, label }) => (sign === ":" ? scoreTold([name, value, label]).toLowerCase().includes(text) : name.toLowerCase().includes(text) && compare(sign, value ?? NaN, number));
  const rows = new Set(trace.scores.filter(fits).map((one) => (one.span ? trace.rows.get(one.span) : roots[0])));
  return (row) => rows.has(row);
}

function tokens(call) {
  return call ? (call.input ?? 0) + (call.output ?? 0) : NaN;
}
