// The head of a run: what it is, and what it came to.

import { h, button, refill } from "./dom.js";
import { bill, count, duration, moment, scoreTold, short, UNKNOWN } from "./format.js";
import { line } from "./text.js";
import { withWord } from "./query.js";
import { kindClass } from "./theme.js";

const SCORES = 6;

export class RunHead {
  // `why` tells why; `compared` compares the run with the one before, `file` is where it is one file: null without a server.
  constructor(why, compared, file) {
    this.why = why;
    this.file = file && h("a", { class: "quiet save", href: file, download: "", title: "save this run as one file, to keep or to send (w)" }, "Save");
    this.compare = compared && button("Compare", compared, { class: "quiet compare", title: "with the run before of the same name (d)" });
    this.title = h("div", { class: "runtitle" });
    this.figures = h("dl", { class: "figures" });
    this.kinds = h("span", { class: "kinds" });
    this.element = h("div", { class: "runhead" }, this.title, this.figures, this.kinds);
    this.name = "";
  }

  show(tree) {
    const { trace } = tree;
    const root = tree.roots[0];
    const status = root === undefined ? "unfinished" : trace.statusOf(root);
    this.name = root === undefined ? "(not recorded)" : trace.nameOf(root);
    refill(
      this.title,
      h("h1", {}, line(this.name, 120)),
      h("span", { class: `status s-${status}` }, status),
      h("span", { class: "brief" }, root === undefined ? "" : line(trace.brief[root], 200)),
      h("span", { class: "gap" }),
      h("span", { class: "hint when" }, moment(trace.wallMs(tree.start))),
      this.why,
      this.compare ?? "",
      this.file ?? "");
    const facts = figuresOf(tree).filter(([, value]) => value !== "" && value !== "0");
    this.figures.replaceChildren(...[...facts, ...this.told(trace)].map(([label, value, name]) => h("div", {}, h("dt", {}, label), h("dd", { class: name ?? "" }, value))));
    const kinds = wordsIn(trace, trace.kind);
    const words = [...kinds, trace.critical.size > 0].join();
    if (this.kindWords === words) return;
    this.kindWords = words;
    const keys = kinds.map((kind) => h("span", { class: `kindkey ${kindClass(kind)}` }, h("i", { class: "mark" }), line(kind, 20)));
    if (trace.critical.size) keys.push(h("span", { class: "kindkey", title: "what the run waited for (p)" }, h("i", { class: "pathmark" }), "critical path"));
    this.kinds.replaceChildren(...keys);
  }

  // How it ended, whose it was, and how it was judged; session and user lead to all runs that they had.
  told({ whole, scores }) {
    const whose = (name) => (this.compare ? h("a", { href: `#/runs?${new URLSearchParams({ q: withWord("", name, whole[name]) })}`, title: `all runs of this ${name}` }, line(whole[name], 40)) : line(whole[name], 40));
    const judged = scores.slice(0, SCORES).map((score) => line(scoreTold([score.name, score.value, score.label]), 80));
    return [
      whole.outcome && ["Outcome", line(whole.outcome, 40)],
      whole.session && ["Session", whose("session")],
      whole.user && ["User", whose("user")],
      judged.length && ["Scores", `${judged.join(", ")}${scores.length > SCORES ? `, ${count(scores.length - SCORES)} more` : ""}`],
    ].filter(Boolean);
  }
}

function figuresOf(tree) {
  const { trace } = tree;
  const sum = (values) => tree.roots.reduce((total, row) => total + values[row], 0);
  return [
    [tree.roots.length && trace.statusOf(tree.roots[0]) === "unfinished" ? "Took at least" : "Took", tree.isTimed ? duration(tree.stop - tree.start) : UNKNOWN],
    ["Spans", count(trace.size)],
    ["Model calls", count(sum(tree.calls))],
    ["Tool calls", count(sum(tree.tools))],
    ["Input", short(sum(tree.input))],
    ["cached", short(sum(tree.cached))],
    ["Output", short(sum(tree.output))],
    ["Cost", bill(sum(tree.usd), { estimated: sum(tree.estimated), unpriced: sum(tree.unpriced) }) || (sum(tree.input) + sum(tree.output) ? "free" : "")],
    ["Errors", count(sum(tree.failures)), "bad"],
    ["Unfinished", count(openRows(trace).filter((row) => trace.statusOf(row) === "unfinished").length), "odd"],
    ["Refused", count(sum(tree.refused)), "odd"],
    ["Findings", count(trace.findings.filter((one) => one.severity !== "info").length), "odd"],
    ["Info", count(trace.findings.filter((one) => one.severity === "info").length)],
  ];
}

function openRows(trace) {
  const open = trace.numbers.get("open");
  const rows = [];
  trace.status.forEach((status, row) => status === open && rows.push(row));
  return rows;
}

// What the menus of the filter offer.
export function wordsOf(tree) {
  const { trace } = tree;
  const tool = trace.numbers.get("tool");
  const tools = trace.name.filter((_, row) => trace.kind[row] === tool);
  const unended = new Set(openRows(trace).map((row) => trace.statusOf(row)));
  const statuses = [...wordsIn(trace, trace.status).filter((word) => word !== "open"), ...unended];
  return {
    kind: wordsIn(trace, trace.kind),
    status: statuses.sort(),
    model: wordsIn(trace, trace.facts[0]),
    agent: wordsIn(trace, trace.facts[1]),
    is: trace.critical.size ? ["critical"] : [],
    tool: wordsIn(trace, tools),
    finding: [...new Set(trace.findings.map((one) => one.detector))].sort(),
  };
}

function wordsIn(trace, numbers) {
  return [...new Set(numbers)].filter((number) => number > 0).map((number) => trace.words[number]).sort().slice(0, 200);
}
