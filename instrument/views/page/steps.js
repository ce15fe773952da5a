// Tokens and money step by step and as they came together, and who used them.

import { h, button } from "./dom.js";
import { bill, count, duration, short, UNKNOWN } from "./format.js";
import { line } from "./text.js";
import { kindClass } from "./theme.js";

const MOST = 2000;

// The table of steps; `opened(row)` is told which one was pressed.
export function stepsView(tree, opened) {
  const rows = stepsOf(tree);
  if (!rows.length) return h("p", { class: "notice" }, "There is nothing below the root.");
  const { trace } = tree;
  let tokens = 0;
  let usd = 0;
  const doubts = { estimated: 0, unpriced: 0 };
  const all = Math.max(1, rows.reduce((sum, row) => sum + tree.input[row] + tree.output[row], 0));
  const lines = rows.slice(0, MOST).map((row) => {
    tokens += tree.input[row] + tree.output[row];
    usd += tree.usd[row];
    for (const name in doubts) doubts[name] += tree[name][row];
    const times = [trace.isTimed(row) ? duration(trace.start[row] - tree.start) : UNKNOWN, trace.took(row), tree.bill(row), bill(usd, doubts)];
    const counts = [tree.calls, tree.tools, tree.input, tree.cached, tree.output].map((values) => count(values[row]));
    return h("tr", { class: `${kindClass(trace.kindOf(row))} s-${trace.statusOf(row)}` },
      h("th", { scope: "row" }, h("span", { class: "mark", "aria-hidden": "true" }), button(nameOfStep(trace, row), () => opened(row), { class: "quiet linkish" }), tree.failures[row] ? h("span", { class: "bad" }, ` ${count(tree.failures[row])} failed`) : ""),
      [...times, ...counts].map((cell) => h("td", { class: "num" }, cell === "0" || cell === "$0" ? "" : cell)),
      h("td", { class: "num share" }, h("i", { class: "meter", style: { width: `${(100 * tokens) / all}%` } }), short(tokens)));
  });
  const heads = ["Step", "At", "Took", "Money", "Σ money", "Model calls", "Tool calls", "Input", "Cached", "Output", "Σ tokens"];
  return h("div", { class: "sheet" },
    h("h2", {}, "Step by step"),
    table(heads, lines, "step by step", "steps"),
    rows.length > MOST ? h("p", { class: "aside" }, `The first ${count(MOST)} of ${count(rows.length)} steps.`) : "",
    used(tree, "Models", (row) => trace.calls.has(row) && (trace.fact(row, 0) || "-")),
    used(tree, "Tools", (row) => trace.kindOf(row) === "tool" && trace.nameOf(row)),
    used(tree, "Agents", (row) => (trace.calls.has(row) || trace.kindOf(row) === "tool") && (agentOf(tree, row) || "-"), 2),
    used(tree, "Kinds", (row) => trace.kindOf(row)));
}

function nameOfStep(trace, row) {
  const number = trace.fact(row, 2);
  const agent = trace.whoseOf(row);
  return line(`${trace.nameOf(row)}${number ? ` #${number}` : ""}${agent ? ` ${agent}` : ""}`, 80);
}

// Whose work a call was: what it says itself, else the nearest agent above it.
function agentOf(tree, row) {
  const { trace } = tree;
  for (let at = row; at >= 0; at = tree.parent[at]) {
    if (trace.fact(at, 1)) return trace.fact(at, 1);
    if (trace.kindOf(at) === "agent") return trace.nameOf(at);
  }
  return "";
}

// Spans of kind step that are numbered, and else what lies directly below the roots.
function stepsOf(tree) {
  const { trace, order } = tree;
  const numbered = [...order].filter((row) => trace.facts[2][row] > 0 && trace.kindOf(row) === "step");
  const below = tree.roots.flatMap((root) => tree.children(root));
  if (!numbered.length) return below.length ? below : tree.roots;
  // with what stands beside them, such as planning before and reflection after
  const parents = new Set(numbered.map((row) => tree.parent[row]));
  return [...order].filter((row) => parents.has(tree.parent[row]));
}

// The table of those groups, where there are so many at least.
function used(tree, title, groupOf, least = 1) {
  const { trace } = tree;
  const groups = new Map();
  for (const row of tree.order) {
    const name = groupOf(row);
    if (name === false || trace.statusOf(row) === "refused") continue;
    const group = groups.get(name) ?? { count: 0, failed: 0, timed: 0, took: 0, longest: 0, input: 0, output: 0, usd: 0, estimated: 0, unpriced: 0 };
    const call = trace.calls.get(row);
    const lasts = trace.isTimed(row) ? trace.lasts(row) : 0;
    group.timed += trace.isTimed(row);
    group.count += 1;
    group.failed += trace.statusOf(row) === "error";
    group.took += lasts;
    group.longest = Math.max(group.longest, lasts);
    group.input += call?.input ?? 0;
    group.output += call?.output ?? 0;
    group.usd += call?.usd || 0;
    group.estimated += call?.basis === "estimated";
    group.unpriced += call !== undefined && Number.isNaN(call.usd);
    groups.set(name, group);
  }
  if (groups.size < least) return "";
  const lines = [...groups].sort(([, one], [, other]) => other.took - one.took).slice(0, 100).map(([name, group]) => {
    const cells = [count(group.count), group.failed ? count(group.failed) : "", bill(group.usd, group), ...[group.took, group.took / group.timed, group.longest].map((ns) => (group.timed ? duration(ns) : UNKNOWN)), group.input ? count(group.input) : "", group.output ? count(group.output) : ""];
    return h("tr", {}, h("th", { scope: "row" }, line(name, 80)), cells.map((cell) => h("td", { class: "num" }, cell)));
  });
  return [h("h2", {}, title), table([title.slice(0, -1), "Count", "Failed", "Money", "Time", "Mean", "Longest", "Input", "Output"], lines, title.toLowerCase())];
}

function table(heads, lines, label, name = "") {
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: `sums ${name}` }, h("thead", {}, h("tr", {}, heads.map((head, place) => h("th", { scope: "col", class: place ? "num" : "" }, head)))), h("tbody", {}, lines)));
}
