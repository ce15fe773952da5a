// One run: its figures, the strip, and below it the time line, the steps, the findings or the logs.

import { h, button, later, once } from "./dom.js";
import { count, plural } from "./format.js";
import { Trace } from "./trace.js";
import { Tree } from "./tree.js";
import { Sight } from "./rows.js";
import { FilterBar } from "./filterbar.js";
import { Waterfall } from "./waterfall.js";
import { Overview } from "./overview.js";
import { Panel } from "./panel.js";
import { stepsView } from "./steps.js";
import { findingsView, LogsView } from "./lists.js";
import { line } from "./text.js";
import { RUN_KEYS } from "./keys.js";
import { misread } from "./query.js";
import { LIVE_MS, examineRun, followRun, searchRun } from "./rungrowth.js";
import { runKey } from "./runkeys.js";
import { RunHead, wordsOf } from "./runhead.js";
import { comparisonOf, runBefore } from "./choice.js";
import { Why } from "./why.js";

const TABS = ["time line", "steps", "findings", "logs"];
const WIDE = matchMedia("(min-width: 1000px)");

export class RunView {
  constructor(page, address) {
    this.page = page;
    this.keyHelp = RUN_KEYS.filter(([key]) => !["d", "w"].includes(key) || !page.source.isFile);
    this.id = address.trace;
    this.trace = new Trace(this.id);
    this.sight = new Sight(this.trace);
    this.tab = TABS[0];
    this.window = null;
    this.why = new Why({ trace: this.trace, ask: page.source.isFile ? null : () => page.source.why(this.id), chosen: (row) => this.jump(row) });
    this.head = page.source.isFile ? new RunHead(this.why.button, null, null) : new RunHead(this.why.button, () => this.compare(), `api/run/${encodeURIComponent(this.id)}/file`);
    this.overview = new Overview({ chosen: (from, to) => this.zoom(from, to), opened: (one) => this.openFinding(one) });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "views of the run" }, TABS.map((name) => button(name, () => this.turnTo(TABS.indexOf(name)), { role: "tab", id: `tab-${name.slice(0, 4)}`, "aria-controls": "tabpanel" })));
    this.logsButton = button("logs", () => this.toggleLogs(), { class: "quiet toggle", "aria-pressed": "false", title: "logs among the spans (l)" });
    this.filterbar = new FilterBar({ label: "Filter spans", menus: ["status", "kind", "model", "tool", "agent", "finding", "is"], changed: () => this.filterSoon(), extra: [this.logsButton] });
    this.waterfall = new Waterfall({
      selected: (row) => this.choose(row),
      toggled: (row) => this.toggle(row),
      opened: (row) => this.open(row),
      zoomed: (from, to) => this.zoom(from, to),
      logOpened: (placed, entry) => this.openLog(placed, entry),
    });
    this.logs = new LogsView((row) => this.jump(row));
    this.panel = new Panel({ source: page.source, chosen: (row) => this.jump(row), closed: () => this.closePanel() });
    this.stage = h("div", { class: "stage", id: "tabpanel", role: "tabpanel" });
    this.notice = h("p", { class: "notice" }, "Loading…");
    this.element = h("section", { class: "view run", "aria-label": "run" }, this.head.element, this.why.element, this.overview.element, h("div", { class: "toolbar" }, this.tabs, this.filterbar.element), this.notice, h("div", { class: "split" }, this.stage, this.panel.element));
    this.filterSoon = later(() => this.filter(), 40);
    this.searchSoon = later(() => searchRun(this), 250);
    this.arrangeSoon = once(() => this.arrange());
    this.go(address, true);
  }

  follows(address) {
    return address.name === "run" && address.trace === this.id;
  }

  go(address, first = false) {
    this.wanted = address.span ?? null;
    const tab = TABS.find((name) => name.startsWith(address.params.get("tab") ?? "time"));
    this.tab = tab ?? TABS[0];
    this.filterbar.query = address.params.get("q") ?? "";
    if (first) return;
    this.filter();
    this.showWanted();
  }

  async begin() {
    this.page.place("run", [h("span", { class: "sep", "aria-hidden": "true" }, "/"), h("span", { class: "here" }, line(this.id.slice(0, 8), 8))]);
    try {
      const told = await this.page.source.columns(this.id);
      this.trace.add(told);
      if (told.why) this.why.learn(told.why);
    } catch (problem) {
      this.notice.textContent = `This run cannot be shown: ${problem.message}`;
      followRun(this);
      return;
    }
    if (this.closed) return;
    this.loaded();
    followRun(this);
    if (!this.trace.live) examineRun(this);
  }

  loaded() {
    this.notice.hidden = true;
    const tree = new Tree(this.trace);
    this.sight.foldFor(tree);
    this.arrange(tree);
    this.showWanted();
    if (!this.wanted) this.focus();
    performance.mark("run shown");
  }

  arrange(tree = new Tree(this.trace)) {
    if (this.closed || !this.trace.base) return;
    const began = performance.now();
    const whole = !this.window || (this.tree && this.window[0] <= this.tree.start && this.window[1] >= this.tree.stop);
    this.tree = tree;
    if (whole) this.window = [tree.start, Math.max(tree.stop, tree.start + 1000)];
    this.head.show(tree);
    this.why.show(tree);
    this.page.place(this.head.name, [h("span", { class: "sep", "aria-hidden": "true" }, "/"), h("span", { class: "here" }, line(this.head.name, 60))]);
    this.countTabs();
    this.filterbar.offer(wordsOf(tree));
    this.logsButton.hidden = tree.logs.length === 0;
    this.overview.show(tree);
    this.filter();
    this.zoom(...this.window);
    if (this.panel.row >= 0) this.panel.show(tree, this.panel.row);
    // a huge live run is not drawn anew more often than it can be
    const took = performance.now() - began;
    if (took > LIVE_MS / 4) this.arrangeSoon = later(() => this.arrange(), took * 4);
  }

  countTabs() {
    const numbers = { findings: this.trace.findings.length, logs: this.trace.logs.length };
    TABS.forEach((name, place) => (this.tabs.children[place].textContent = numbers[name] ? `${name} ${count(numbers[name])}` : name));
  }

  filter() {
    if (!this.tree) return;
    const began = performance.now();
    this.sight.filter(this.tree, this.filterbar.query);
    this.sight.look(this.tree);
    this.show();
    this.keepAddress();
    this.searchSoon();
    performance.measure("filter", { start: began });
  }

  show() {
    const tab = this.tab;
    [...this.tabs.children].forEach((one, place) => {
      one.setAttribute("aria-selected", TABS[place] === tab);
      one.tabIndex = TABS[place] === tab ? 0 : -1;
    });
    this.filterbar.name(tab === "logs" ? "Filter logs" : "Filter spans");
    const odd = this.sight.hits === 0 && misread(this.filterbar.query);
    const said = this.sight.kept ? `${count(this.sight.hits)} of ${plural(this.trace.size, "span")}${odd ? `: ${line(odd, 40)} is no condition (?)` : ""}` : "";
    if (tab === "time line") {
      this.put(this.waterfall.element);
      this.waterfall.show(this.tree, this.sight);
      this.filterbar.say(said);
    } else if (tab === "logs") {
      this.put(this.logs.element);
      this.filterbar.say(this.logs.show(this.tree, this.filterbar.query));
    } else {
      const key = `${tab} ${this.trace.size} ${this.trace.found.size} ${this.trace.lines} ${this.trace.live ? performance.now() >> 10 : ""}`;
      if (this.sheetKey !== key) {
        const scrolled = this.sheet?.scrollTop ?? 0;
        this.sheet = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": tab }, tab === "steps" ? stepsView(this.tree, (row) => this.jump(row)) : findingsView(this.tree, (row) => this.jump(row), this.aside));
        if (this.sheetKey?.startsWith(tab)) requestAnimationFrame(() => (this.sheet.scrollTop = scrolled));
        this.sheetKey = key;
      }
      this.put(this.sheet);
      this.filterbar.say(said && `${said} in the time line`);
    }
    this.stage.setAttribute("aria-labelledby", `tab-${tab.slice(0, 4)}`);
  }

  put(element) {
    if (this.stage.firstChild !== element) this.stage.replaceChildren(element);
  }

  turnTo(number) {
    this.tab = TABS[number];
    this.show();
    this.keepAddress();
    this.focus();
  }

  zoom(from, to) {
    if (!this.tree) return;
    this.window = [from, to];
    this.waterfall.setWindow(from, to);
    this.overview.mark(from, to);
  }

  choose(row) {
    this.waterfall.choose(row);
    if (this.panel.element.hidden || !WIDE.matches) this.keepAddress();
    else this.open(row);
  }

  open(row) {
    this.waterfall.choose(row, false);
    this.panel.show(this.tree, row);
    this.element.classList.add("with-panel");
    this.keepAddress();
    requestAnimationFrame(() => this.waterfall.choose(row));
  }

  openLog(placed, entry) {
    this.waterfall.choose(entry, false);
    this.panel.show(this.tree, placed.row);
    this.element.classList.add("with-panel");
  }

  openFinding(one) {
    const row = one.spans.map((id) => this.trace.rows.get(id)).findLast((found) => found !== undefined);
    if (row === undefined) this.turnTo(TABS.indexOf("findings"));
    else this.jump(row);
  }

  closePanel() {
    this.panel.close();
    this.element.classList.remove("with-panel");
    this.keepAddress();
    this.focus();
  }

  async compare() {
    if (this.page.source.isFile) return;
    const { rows } = await this.page.source.runs();
    const run = rows.find((row) => row.id === this.id);
    const before = run && runBefore(rows, run);
    if (before) location.hash = comparisonOf(before, run);
    else this.filterbar.say(`no earlier run is named ${line(this.head.name, 40)}`);
  }

  // Brings a span into sight, wherever it is, and opens it.
  jump(row) {
    this.tab = TABS[0];
    if (!this.sight.expose(this.tree, row)) this.filterbar.query = "";
    this.filter();
    const start = this.trace.start[row];
    const stop = start + this.trace.lasts(row);
    if (stop < this.window[0] || start > this.window[1]) this.zoom(this.tree.start, this.tree.stop);
    this.open(row);
  }

  showWanted() {
    const row = this.wanted === null ? undefined : this.trace.rows.get(this.wanted);
    if (row === undefined) {
      if (this.wanted === null && !this.panel.element.hidden && this.tree) this.closePanel();
      return;
    }
    if (this.tree && this.panel.row !== row) this.jump(row);
  }

  toggle(row) {
    this.sight.fold(row, !this.sight.isShut(this.tree, row));
    this.look();
    this.waterfall.choose(row);
  }

  look() {
    this.sight.look(this.tree);
    this.waterfall.show(this.tree, this.sight);
  }

  toggleLogs() {
    this.sight.withLogs = !this.sight.withLogs;
    this.logsButton.setAttribute("aria-pressed", this.sight.withLogs);
    this.look();
  }

  keepAddress() {
    const row = this.panel.element.hidden ? -1 : this.panel.row;
    const params = new URLSearchParams();
    if (this.tab !== TABS[0]) params.set("tab", this.tab);
    if (this.filterbar.query) params.set("q", this.filterbar.query);
    const query = params.size ? `?${params}` : "";
    const address = `#/run/${this.id}${row >= 0 ? `/${encodeURIComponent(this.trace.ids[row])}` : ""}${query}`;
    if (location.hash !== address) history.replaceState(null, "", address);
  }

  // What the tab scrolls.
  scrolled() {
    return { "time line": this.waterfall.scroller, logs: this.logs.scroller }[this.tab] ?? this.sheet;
  }

  focus() {
    this.scrolled()?.focus({ preventScroll: true });
    if (this.tab === TABS[0] && this.waterfall.chosen < 0 && this.sight.list.length && this.waterfall.chosenIndex() < 0) this.waterfall.choose(this.sight.list[0]);
  }

  key(event) {
    return runKey(this, event);
  }

  leave() {
    if (!this.panel.element.hidden) this.closePanel();
    else if (this.filterbar.query) {
      this.filterbar.query = "";
      this.filter();
    } else if (!this.page.source.isFile) location.hash = "#/runs";
    return true;
  }

  onTimeLine() {
    return this.tree !== undefined && this.tab === TABS[0];
  }

  zoomTo(row) {
    const start = this.trace.start[row];
    const lasts = Math.max(1000, this.trace.lasts(row));
    this.zoom(Math.max(this.tree.start, start - lasts * 0.1), Math.min(this.tree.stop, start + lasts * 1.1));
  }

  chooseEntry(entry) {
    if (entry >= 0) this.choose(entry);
    else this.waterfall.choose(entry);
  }

  foldAll(folded) {
    this.sight.foldAll(this.tree, folded);
    this.look();
  }

  close() {
    this.closed = true;
    this.stop?.();
    clearInterval(this.clock);
    this.why.close();
    this.waterfall.close();
    this.overview.close();
    this.logs.close();
  }
}
