// The spans of a run at their places: in order of their start below their parents, with sums over what lies below.
//
// A span whose parent is unknown hangs at the first root; a cycle of parents is cut at its earliest span.

import { bill } from "./format.js";

export class Tree {
  constructor(trace) {
    this.trace = trace;
    const size = trace.size;
    const byStart = sorted(trace);
    const { first, next, roots } = hang(trace, byStart);
    this.order = new Int32Array(size); // rows, each before those below it
    this.place = new Int32Array(size); // row → place in the order
    this.depth = new Int32Array(size); // of rows
    this.end = new Int32Array(size); // row → the place behind all below it
    this.parent = new Int32Array(size).fill(-1);
    this.first = first;
    this.next = next;
    this.roots = roots;
    this.walk(roots, first, next);
    this.sum();
    this.placeLogs();
  }

  walk(roots, first, next) {
    const { order, place, depth, end, parent } = this;
    let at = 0;
    for (const root of roots) {
      let row = root;
      let deep = 0;
      for (;;) {
        order[at] = row;
        place[row] = at++;
        depth[row] = deep;
        if (first[row] >= 0) {
          parent[first[row]] = row;
          row = first[row];
          deep++;
          continue;
        }
        end[row] = at;
        while (row !== root && next[row] < 0) {
          row = parent[row];
          deep--;
          end[row] = at;
        }
        if (row === root) break;
        parent[next[row]] = parent[row];
        row = next[row];
      }
    }
    this.start = Infinity;
    this.stop = -Infinity;
    for (let row = 0; row < order.length; row++) {
      this.start = Math.min(this.start, this.trace.start[row]);
      this.stop = Math.max(this.stop, this.trace.start[row] + this.trace.lasts(row));
    }
    this.isTimed = !this.roots.length || this.trace.isTimed(this.roots[0]);
    if (this.start > this.stop) this.start = this.stop = 0;
  }

  // Tokens, money, model calls, tool calls and failures of each span and all below it.
  sum() {
    const { trace, order, parent } = this;
    const size = trace.size;
    const names = ["input", "output", "cached", "usd", "calls", "tools", "failures", "refused", "unpriced", "estimated"];
    for (const name of names) this[name] = new Float64Array(size);
    for (const [row, call] of trace.calls) {
      this.input[row] = call.input ?? 0;
      this.output[row] = call.output ?? 0;
      this.cached[row] = call.cached ?? 0;
      this.usd[row] = Number.isNaN(call.usd) ? 0 : call.usd;
      this.unpriced[row] = Number.isNaN(call.usd) ? 1 : 0;
      this.estimated[row] = call.basis === "estimated" ? 1 : 0;
      this.calls[row] = 1;
    }
    const error = trace.numbers.get("error") ?? -1;
    const refused = trace.numbers.get("refused") ?? -1;
    const tool = trace.numbers.get("tool") ?? -1;
    const models = ["llm", "embedding"].map((kind) => trace.numbers.get(kind));
    for (let row = 0; row < size; row++) {
      if (trace.status[row] === refused) {
        this.refused[row] = 1;
        continue;
      }
      if (trace.kind[row] === tool) this.tools[row] = 1;
      if (models.includes(trace.kind[row])) this.calls[row] = 1;
      if (trace.status[row] === error && !passedOn(trace, this.first, this.next, row)) this.failures[row] = 1;
    }
    for (let at = size - 1; at >= 0; at--) {
      const row = order[at];
      const above = parent[row];
      if (above >= 0) for (const name of names) this[name][above] += this[name][row];
    }
  }

  // Where each log stands: before which place in the order, and below which span.
  placeLogs() {
    const { trace, place, depth, end, first, next } = this;
    const placed = [];
    trace.logs.forEach((log, number) => {
      const row = trace.rows.get(log.span) ?? this.roots[0] ?? -1;
      if (row < 0) return;
      let before = end[row];
      for (let child = first[row], tried = 0; child >= 0 && tried < 2000; child = next[child], tried++) {
        if (trace.start[child] > log.at) {
          before = place[child];
          break;
        }
      }
      placed.push({ number, row, before, depth: depth[row] + 1 });
    });
    this.logs = placed.sort((one, other) => one.before - other.before || other.depth - one.depth || trace.logs[one.number].at - trace.logs[other.number].at);
  }

  // What a span and all below it cost.
  bill(row) {
    return bill(this.usd[row], { estimated: this.estimated[row], unpriced: this.unpriced[row] });
  }

  // The time of a span that none of its children covers.
  ownTime(row) {
    const { trace } = this;
    const from = trace.start[row];
    const until = from + trace.lasts(row);
    let covered = 0;
    let reached = from;
    for (let child = this.first[row]; child >= 0; child = this.next[child]) {
      const start = Math.max(reached, trace.start[child]);
      const stop = Math.min(until, trace.start[child] + trace.lasts(child));
      if (stop > start) {
        covered += stop - start;
        reached = stop;
      }
    }
    return until - from - covered;
  }

  children(row) {
    const found = [];
    for (let child = this.first[row]; child >= 0; child = this.next[child]) found.push(child);
    return found;
  }
}

function sorted(trace) {
  const rows = new Int32Array(trace.size);
  let inOrder = true;
  for (let row = 0; row < rows.length; row++) {
    rows[row] = row;
    if (row && trace.start[row] < trace.start[row - 1]) inOrder = false;
  }
  return inOrder ? rows : rows.sort((one, other) => trace.start[one] - trace.start[other] || trace.taken[other] - trace.taken[one]);
}

// Lists of children as chains: the first of each row, and the next of each child.
function hang(trace, byStart) {
  const above = parentsOf(trace);
  let chains = chained(above, byStart);
  if (chains.reached() < trace.size) {
    cutCycles(above, byStart);
    chains = chained(above, byStart);
  }
  return chains;
}

// Row → row of the parent; -1 where there is none, -2 where it is not known.
function parentsOf(trace) {
  const above = new Int32Array(trace.size);
  for (let row = 0; row < trace.size; row++) {
    const parent = trace.parents[row];
    above[row] = parent === null ? -1 : typeof parent === "number" ? parent : (trace.rows.get(parent) ?? -2);
  }
  return above;
}

function chained(above, byStart) {
  const size = above.length;
  const first = new Int32Array(size).fill(-1);
  const next = new Int32Array(size).fill(-1);
  const last = new Int32Array(size).fill(-1);
  const without = (number) => Array.from(byStart.filter((row) => above[row] === number));
  let roots = without(-1);
  const strays = roots.length > 0;
  if (!strays) roots = without(-2);
  for (const row of byStart) {
    if (above[row] === -1 || (above[row] === -2 && !strays)) continue;
    const holder = above[row] >= 0 ? above[row] : roots[0];
    if (last[holder] < 0) first[holder] = row;
    else next[last[holder]] = row;
    last[holder] = row;
  }
  return { first, next, roots, reached: () => reachable(roots, first, next) };
}

// How many rows the roots lead to: those on a cycle are led to by none.
function reachable(roots, first, next) {
  const waiting = [...roots];
  let count = 0;
  while (waiting.length) {
    count++;
    for (let child = first[waiting.pop()]; child >= 0; child = next[child]) waiting.push(child);
  }
  return count;
}

function cutCycles(above, byStart) {
  const checked = new Uint8Array(above.length); // 1: on the way, 2: leads to the top
  for (const row of byStart) {
    const way = [];
    let at = row;
    while (at >= 0 && !checked[at]) {
      checked[at] = 1;
      way.push(at);
      at = above[at];
    }
    if (at >= 0 && checked[at] === 1) above[row] = -2;
    for (const one of way) checked[one] = 2;
  }
}

// Whether a failed span only let its child's exception through.
function passedOn(trace, first, next, row) {
  const text = trace.errors.get(row);
  if (text === undefined) return false;
  for (let child = first[row]; child >= 0; child = next[child]) if (trace.errors.get(child) === text) return true;
  return false;
}
