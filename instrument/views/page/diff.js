// Two runs beside each other: their figures, where they part first, and their calls row by row.

import { h, button } from "./dom.js";
import { plural } from "./format.js";
import { line } from "./text.js";
import { BothTrees } from "./bothtrees.js";
import { DiffRows } from "./diffrows.js";
import { PairPanel } from "./pairpanel.js";
import { DiffHead } from "./diffhead.js";
import { followDiff } from "./diffgrowth.js";
import { DIFF_KEYS, moved } from "./keys.js";

export class DiffView {
  keyHelp = DIFF_KEYS;
  withoutFilter = true;

  constructor(page, address) {
    this.page = page;
    this.ids = [address.trace ?? "", address.span ?? ""];
    this.rows = new DiffRows({ opened: (row) => this.open(row), toggled: (row) => this.toggle(row), hrefOf: (row, side) => this.hrefOf(row, side) });
    this.panel = new PairPanel({ details: (spans) => page.source.calls(this.ids, spans), hrefOf: (row, side) => this.hrefOf(row, side), closed: () => this.closePanel() });
    this.head = new DiffHead(() => this.toFirst());
    this.switches = [["Differences", false], ["All", true]].map(([label, all]) => button(label, () => this.showAll(all), { title: "only what differs, or all (d)" }));
    this.told = h("output", { class: "said", "aria-live": "polite" });
    this.notice = h("p", { class: "notice", role: "status" }, "Comparing…");
    this.body = h("div", { class: "split", hidden: true }, h("div", { class: "stage" }, this.rows.scroller), this.panel.element);
    this.bar = h("div", { class: "toolbar", hidden: true }, h("div", { class: "segmented", role: "group", "aria-label": "rows" }, this.switches), this.told);
    this.element = h("section", { class: "view diff", "aria-label": "comparison" }, this.head.element, this.bar, this.notice, this.body);
    this.go(address);
  }

  follows(address) {
    return address.name === "diff" && address.trace === this.ids[0] && address.span === this.ids[1];
  }

  go(address) {
    this.all = address.params.has("all");
    this.wanted = address.params.get("at");
    if (this.trees) this.arrive();
  }

  async begin() {
    this.page.place("compare", [h("span", { class: "sep", "aria-hidden": "true" }, "/"), h("span", { class: "here" }, "compare")]);
    if (!this.ids.every(Boolean)) {
      this.notice.textContent = "The address names no two runs. Tick two in the list of runs to compare them.";
      return;
    }
    try {
      this.shown(await this.page.source.diff(...this.ids));
    } catch (problem) {
      this.notice.textContent = `These runs cannot be compared: ${problem.message}`;
    }
    if (this.closed) return;
    const { page, ids } = this;
    this.stop = followDiff({ source: page.source, ids, state: () => this.state, heard: (told) => this.shown(told), connected: (is) => page.connected(is) });
  }

  // Shows the comparison, or what has become of the one that is shown.
  shown(told) {
    if (this.closed) return;
    const before = this.trees;
    const kept = before && this.rows.inSight(); // before the head becomes higher or lower
    this.state = told.state;
    this.trees = new BothTrees(told, before);
    this.head.show(told);
    this.notice.hidden = true;
    this.bar.hidden = this.body.hidden = !this.trees.size;
    if (before) this.renew(before, kept);
    else this.shownFirst(told);
  }

  shownFirst(told) {
    this.page.place(`${told.sides[0].name} compared`, [h("span", { class: "sep", "aria-hidden": "true" }, "/"), h("span", { class: "here" }, `compare ${line(told.sides[1].name, 60)}`)]);
    if (!told.first && !this.trees.differing) this.all = true;
    this.arrive();
    performance.mark("comparison shown");
  }

  renew(before, kept) {
    this.rows.renew(this.trees, this.all, kept);
    const row = this.trees.rowFrom(before, this.panel.row);
    if (!this.panel.element.hidden && row >= 0) this.panel.renew(this.trees, row);
    this.say();
    this.keepAddress();
  }

  // Shows what the address asks for.
  arrive() {
    const row = this.wanted ? this.trees.rowOf(this.wanted) : -1;
    if (row < 0) this.panel.close();
    this.show();
    if (row >= 0) this.jump(row);
    this.focus();
  }

  show() {
    this.rows.show(this.trees, this.all);
    this.say();
    this.element.classList.toggle("with-panel", !this.panel.element.hidden);
    this.keepAddress();
  }

  say() {
    const { trees } = this;
    this.switches.forEach((one, place) => one.setAttribute("aria-pressed", String((place === 1) === this.all)));
    const said = trees.differing ? `${plural(trees.differing, "difference")} in ${plural(trees.size, "row")}` : `${plural(trees.size, "row")}, all the same`;
    if (this.told.textContent !== said) this.told.textContent = said;
  }

  showAll(all) {
    this.all = all;
    this.show();
    this.rows.choose(this.rows.chosen);
  }

  hrefOf(row, side) {
    const { id } = this.trees[side];
    return id[row] === null ? null : `#/run/${this.ids["ab".indexOf(side)]}/${encodeURIComponent(id[row])}`;
  }

  toggle(row) {
    this.trees.turn(row);
    this.show();
    this.rows.choose(row);
  }

  open(row) {
    this.panel.show(this.trees, row);
    this.show();
    this.rows.choose(row);
  }

  // Brings a row into sight, wherever it is, and opens it.
  jump(row) {
    this.trees.expose(row);
    if (!this.trees.look(this.all).includes(row)) this.all = true;
    this.open(row);
  }

  toFirst() {
    if (this.trees.first >= 0) this.jump(this.trees.first);
  }

  closePanel() {
    this.panel.close();
    this.show();
    this.focus();
  }

  keepAddress() {
    const params = [this.all ? "all" : "", this.panel.element.hidden ? "" : `at=${encodeURIComponent(this.trees.a.id[this.panel.row] ?? this.trees.b.id[this.panel.row])}`].filter(Boolean);
    const address = `#/diff/${this.ids[0]}/${this.ids[1]}${params.length ? `?${params.join("&")}` : ""}`;
    if (location.hash !== address) history.replaceState(null, "", address);
  }

  focus() {
    this.rows.scroller.focus({ preventScroll: true });
    if (this.rows.at() < 0 && this.rows.shown.length) this.rows.choose(this.trees.first >= 0 && this.rows.shown.includes(this.trees.first) ? this.trees.first : this.rows.shown[0]);
  }

  key(event) {
    if (event.key === "Escape") this.leave();
    else if (!this.trees) return false;
    else if (event.key === "d") this.showAll(!this.all);
    else if (event.key === "f") this.toFirst();
    else if (event.key === "x" || event.key === "X") {
      this.trees.turnAll(event.key === "x");
      this.show();
    } else return this.rowKey(event.key);
    return true;
  }

  rowKey(key) {
    const { shown, chosen } = this.rows;
    const to = moved(key, this.rows.at(), shown.length);
    if (to !== null) shown.length && this.choose(shown[to]);
    else return this.rows.at() >= 0 && this.chosenKey(key, chosen);
    return true;
  }

  chosenKey(key, row) {
    const { trees } = this;
    const shut = trees.isShut(row);
    if (key === "Enter") this.panel.shows(row) ? this.panel.element.focus() : this.open(row);
    else if (key === "a" || key === "b") this.enter(row, key);
    else if (key === " " || (key === "ArrowRight" && shut) || (key === "ArrowLeft" && trees.hasChildren(row) && !shut)) trees.hasChildren(row) && this.toggle(row);
    else if (key === "ArrowRight") this.open(row);
    else if (key === "ArrowLeft") trees.parent[row] >= 0 && this.choose(trees.parent[row]);
    else return false;
    return true;
  }

  choose(row) {
    if (!this.panel.element.hidden) this.open(row);
    else this.rows.choose(row);
  }

  enter(row, side) {
    const href = this.hrefOf(row, side);
    if (href) location.hash = href;
  }

  leave() {
    if (!this.panel.element.hidden) this.closePanel();
    else location.hash = "#/runs";
  }

  close() {
    this.closed = true;
    this.stop?.();
    this.rows.close();
  }
}
