// The head of a comparison: both runs, their figures, and where they part first.

import { h, button, refill } from "./dom.js";
import { moment } from "./format.js";
import { line, shown } from "./text.js";

export class DiffHead {
  // `toFirst()` shows the first divergence among the calls.
  constructor(toFirst) {
    this.toFirst = toFirst;
    this.figures = h("div", { class: "runhead" });
    this.running = h("p", { class: "still", role: "status", hidden: true });
    this.first = h("div", {});
    this.element = h("div", { class: "diffhead" }, this.figures, this.running, this.first);
    this.told = {};
  }

  // What is the same as before stays as it is: somebody may be reading it.
  show(told) {
    const { sides, figures, first, nothing } = told;
    this.renew("figures", { sides, figures }, () => [h("h1", { class: "away" }, "Two runs compared"), figuresView(figures, sides.map(sideView))]);
    this.renew("first", first, () => [firstView({ first, nothing }, this.toFirst)]);
    const running = sides.map((side, place) => side.status === "running" && "AB"[place]).filter(Boolean);
    this.running.hidden = !running.length;
    const said = running.length > 1 ? "A and B are still running: what is told here grows with them." : `${running[0]} is still running: what is told here grows with it, and calls that it has not come to yet count as not made.`;
    if (running.length) this.renew("running", said, () => [said]);
  }

  renew(part, told, make) {
    const text = JSON.stringify(told);
    if (this.told[part] === text) return;
    this.told[part] = text;
    refill(this[part], ...make());
  }
}

function sideView(side, place) {
  return h("a", { class: "side", href: `#/run/${side.id}`, title: `${line(side.name, 200)}: open this run` },
    h("b", { class: "letter" }, "AB"[place]),
    h("span", { class: "runname" }, line(side.name, 80)),
    h("span", { class: "hint" }, moment(side.start_ms)));
}

// Rows of what, A, B and the difference, laid beside each other; `heads` stand for A and B.
export function figuresView(rows, heads = ["A", "B"]) {
  const cells = ["what", "a", "b", "change"];
  const column = (texts, kind) => h("div", { class: `versus-one ${kind}`, role: "row" }, texts.map((text, place) => h("span", { class: cells[place], role: kind === "names" ? (place ? "columnheader" : "cell") : place ? "cell" : "rowheader" }, text)));
  const kindOf = ([, a, b, change]) => (change ? "differs" : a === b ? "alike" : "");
  return h("div", { class: "versus", role: "table", "aria-label": "figures of both" }, column(["", ...heads, "B − A"], "names"), rows.map((row) => column(row, kindOf(row))));
}

function firstView(told, toFirst) {
  const { first } = told;
  if (!first) return h("p", { class: "parting none" }, told.nothing);
  return h("div", { class: "parting" },
    h("h2", {}, `First divergence: ${first.said}`, first.row === null ? "" : button("Show", toFirst, { class: "quiet linkish", title: "show it among the calls (f)" })),
    h("p", { class: "hint" }, line(first.place, 400)),
    partsView(first.lines),
    first.below ? h("p", { class: "hint" }, `and ${first.below} below it`) : "");
}

// Lines of what stayed, what went and what came.
export function partsView(lines) {
  const tags = { same: "span", gone: "del", new: "ins" };
  return h("div", { class: "parts", tabindex: "0", role: "group", "aria-label": "what changed" }, lines.map((parts) => h("div", {}, parts.map(([kind, text]) => h(tags[kind] ?? "span", {}, shown(text))))));
}
