// The rows of a comparison: both trees in one list, what changed in each call, and a way into either run.

import { h } from "./dom.js";
import { count, duration, plural, short } from "./format.js";
import { List } from "./list.js";
import { line } from "./text.js";
import { kindClass } from "./theme.js";
import { CHANGED, ONLY_A, ONLY_B, SAME } from "./bothtrees.js";

const SIGNS = { [SAME]: ["", "same"], [CHANGED]: ["≠", "changed"], [ONLY_A]: ["−", "only in A"], [ONLY_B]: ["+", "only in B"] };
const STATES = { [SAME]: "same", [CHANGED]: "changed", [ONLY_A]: "gone", [ONLY_B]: "new" };
const DEEPER = 14;
const SMALL = matchMedia("(max-width: 720px)");

export class DiffRows {
  // `opened(row)` and `toggled(row)` are told what was pressed; `hrefOf(row, side)` is where a call is in its run.
  constructor({ opened, toggled, hrefOf }) {
    Object.assign(this, { opened, toggled, hrefOf });
    this.chosen = -1;
    this.shown = [];
    const heads = [["sign", "", "difference"], ["name", "Call"], ["what", "What changed"], ["a", "A"], ["b", "B"]].map(([name, label, unseen]) => h("div", { class: `c-${name}`, role: "columnheader" }, unseen ? h("span", { class: "away" }, unseen) : label));
    this.scroller = h("div", { class: "table diffrows", role: "treegrid", tabindex: "0", "aria-label": "calls of both runs", onclick: (event) => this.clicked(event) }, h("div", { class: "heads", role: "rowgroup" }, h("div", { class: "row head", role: "row" }, heads)));
    this.list = new List({ scroller: this.scroller, height: pairHeight(), make: () => this.make(), fill: (element, index) => this.fill(element, index), label: "calls" });
    this.resized = () => {
      this.list.height = pairHeight();
      for (const slot of this.list.slots) Object.assign(slot, { index: -1 }).element.style.height = `${this.list.height}px`;
      this.list.reset(this.shown.length);
    };
    SMALL.addEventListener("change", this.resized);
  }

  show(trees, all) {
    this.trees = trees;
    this.shown = trees.look(all);
    this.list.reset(this.shown.length);
    this.scroller.setAttribute("aria-rowcount", this.shown.length + 1);
  }

  // The same rows where the runs have grown: what was in sight stays where it is, and so does what is chosen.
  renew(trees, all, kept) {
    const { scroller, list, trees: before, chosen } = this;
    this.show(trees, all);
    const nearest = (row) => this.shown.findLastIndex((one) => one <= trees.rowFrom(before, row));
    this.chosen = chosen < 0 ? -1 : this.shown[nearest(chosen)] ?? -1;
    if (kept) scroller.scrollTop = nearest(kept.row) * list.height - kept.above + (kept.scrolled ? this.top() - kept.top : 0);
    this.markChosen();
  }

  // A row in sight, the chosen one if it is, and where it stands.
  inSight() {
    const { scroller, list, shown } = this;
    const above = (index) => index * list.height - scroller.scrollTop;
    const chosen = this.at();
    const isSeen = chosen >= 0 && above(chosen) > -list.height && above(chosen) < scroller.clientHeight - list.body.offsetTop;
    const index = isSeen ? chosen : Math.min(shown.length - 1, Math.round(scroller.scrollTop / list.height));
    return index < 0 ? null : { row: shown[index], above: above(index), scrolled: scroller.scrollTop > 0, top: this.top() };
  }

  top() {
    return this.scroller.getBoundingClientRect().top;
  }

  make() {
    const cells = {
      sign: h("span", { class: "sign" }),
      twisty: h("span", { class: "twisty", "aria-hidden": "true" }),
      mark: h("i", { class: "mark" }),
      name: h("span", { class: "label" }),
      brief: h("span", { class: "brief" }),
      badge: h("span", { class: "badge" }),
      what: h("div", { class: "c-what", role: "gridcell" }),
      a: this.makeSide("A"),
      b: this.makeSide("B"),
    };
    cells.first = h("div", { class: "c-name", role: "gridcell" }, cells.twisty, cells.mark, cells.name, cells.brief, cells.badge);
    const element = h("div", { class: "row", role: "row" }, h("div", { class: "c-sign", role: "gridcell" }, cells.sign), cells.first, cells.what, cells.a.cell, cells.b.cell);
    element.cells = cells;
    return element;
  }

  makeSide(letter) {
    const [failed, took, tokens] = [h("span", { class: "failed" }), h("span", { class: "took" }), h("span", { class: "tokens" })];
    const link = h("a", { class: "call-in", tabindex: "-1", title: `open in ${letter}` }, h("span", { class: "away" }, `open in ${letter}: `), failed, took, tokens);
    return { cell: h("div", { class: `c-${letter.toLowerCase()}`, role: "gridcell" }, link), link, failed, took, tokens };
  }

  fill(element, index) {
    const row = this.shown[index];
    const { trees } = this;
    const { cells } = element;
    const state = trees.state[row];
    const kind = trees.words[trees.kind[row]];
    const shut = trees.isShut(row);
    element.id = `pair-${index}`;
    element.className = `row ${kindClass(kind)} d-${STATES[state]}${row === trees.first ? " is-first" : ""}`;
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-level", trees.depth[row] + 1);
    element.setAttribute("aria-selected", row === this.chosen);
    if (trees.hasChildren(row)) element.setAttribute("aria-expanded", !shut);
    else element.removeAttribute("aria-expanded");
    cells.sign.replaceChildren(SIGNS[state][0], h("span", { class: "away" }, SIGNS[state][1]));
    cells.sign.title = SIGNS[state][1];
    cells.first.style.setProperty("--indent", `${trees.depth[row] * DEEPER}px`);
    cells.twisty.className = `twisty${trees.hasChildren(row) ? (shut ? " shut" : " open") : ""}`;
    cells.mark.title = kind;
    cells.name.textContent = line(trees.words[trees.name[row]], 120);
    cells.brief.textContent = line(trees.brief[row], 160);
    cells.badge.textContent = shut ? this.badgeOf(row) : "";
    cells.what.dataset.brief = line(trees.brief[row], 160);
    const changes = trees.changesOf.get(row) ?? [];
    cells.what.classList.toggle("several", changes.length > 1);
    cells.what.replaceChildren(...changesInLine(changes));
    for (const letter of ["a", "b"]) this.fillSide(cells[letter], row, letter);
  }

  badgeOf(row) {
    const { trees } = this;
    if (trees.below[row]) return plural(trees.below[row], "difference");
    return trees.state[row] >= ONLY_A ? `${count(trees.end[row] - row - 1)} below` : "";
  }

  fillSide(side, row, letter) {
    const told = this.trees[letter];
    const here = told.id[row] !== null;
    side.link.hidden = !here;
    if (!here) return;
    side.link.href = this.hrefOf(row, letter);
    const status = this.trees.words[told.status[row]];
    side.failed.textContent = status === "ok" ? "" : status === "error" ? "✘" : "⊘";
    side.failed.title = status;
    side.failed.classList.toggle("bad", status === "error");
    side.took.textContent = duration(told.ns[row]);
    side.tokens.textContent = told.tokens[row] ? short(told.tokens[row]) : "";
    side.tokens.title = told.tokens[row] ? `${count(told.tokens[row])} tokens` : "";
  }

  clicked(event) {
    const index = this.list.indexOf(event.target);
    if (index < 0 || event.target.closest("a")) return;
    if (event.target.classList.contains("twisty")) this.toggled(this.shown[index]);
    else this.opened(this.shown[index]);
  }

  at() {
    return this.shown.indexOf(this.chosen);
  }

  choose(row) {
    this.chosen = row;
    this.list.refresh();
    if (this.at() >= 0) this.list.reveal(this.at());
    this.markChosen();
  }

  markChosen() {
    const index = this.at();
    this.scroller.setAttribute("aria-activedescendant", index >= 0 ? `pair-${index}` : "");
  }

  close() {
    this.list.close();
    SMALL.removeEventListener("change", this.resized);
  }
}

// Where there is little room, only the first change and the number of the further ones.
function changesInLine(changes) {
  const further = changes.slice(1).flatMap((change) => [h("span", { class: "arrow" }, "·"), ...changeInLine(change)]);
  for (const one of further) one.classList.add("further");
  return [...changes.slice(0, 1).flatMap(changeInLine), ...further, further.length ? h("span", { class: "hint count" }, `+${changes.length - 1}`) : ""];
}

function changeInLine([cause, said, where, lead, before, after]) {
  const parts = [h("span", { class: "said-cause" }, said)];
  if (!before && !after) return parts;
  if (where && where !== cause) parts.push(h("span", { class: "hint where" }, line(where, 60)));
  if (lead) parts.push(h("span", { class: "hint lead" }, line(lead, 60)));
  return [...parts, h("del", {}, line(before, 200)), h("span", { class: "hint arrow" }, "→"), h("ins", {}, line(after, 200))];
}

function pairHeight() {
  return SMALL.matches ? 46 : 26;
}
