// The head of a comparison: both runs, their figures, and where they part first.

import { h, button } from "./dom.js";
import { moment } from "./format.js";
import { line, shown } from "./text.js";

export function diffHead(told, toFirst) {
  return [h("div", { class: "runhead" }, h("h1", { class: "away" }, "Two runs compared"), figuresView(told.figures, told.sides.map(sideView))), firstView(told, toFirst)];
}

function sideView(side, place) {
  return h("a", { class: "side", href: `#/run/${side.id}`, title: "open this run" },
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
