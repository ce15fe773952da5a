// Tree and waterfall side by side: one list of rows, so that both halves always show the same spans.

import { drag, h, remember, remembered } from "./dom.js";
import { duration, short, tickStep, count } from "./format.js";
import { List } from "./list.js";
import { line } from "./text.js";
import { kindClass } from "./theme.js";

const ROW = 24;
const INDENT = 14;
const LEAST = 1000; // ns that fill the whole width at most

export class Waterfall {
  // `selected(row)`, `toggled(row)` and `opened(row)` are told what was pressed, `zoomed` that the part in sight changed.
  constructor({ selected, toggled, opened, zoomed, logOpened }) {
    Object.assign(this, { selected, toggled, opened, zoomed, logOpened });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.splitter = h("div", { class: "splitter", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": "width of the names", "aria-valuemin": "15", "aria-valuemax": "80" });
    const heads = [["name", "Name"], ["dur", "Time"], ["tok", "Tokens"], ["usd", "Cost"]].map(([name, label]) => h("div", { class: `c-${name}${name === "name" ? "" : " num"}`, role: "columnheader" }, label));
    heads.push(h("div", { class: "c-bar", role: "columnheader" }, h("span", { class: "away" }, "Time line"), this.axis));
    const head = h("div", { class: "row head", role: "row" }, heads);
    this.scroller = h("div", { class: "table waterfall", role: "treegrid", tabindex: "0", "aria-label": "spans", "aria-colcount": "5" }, h("div", { class: "heads", role: "rowgroup" }, head));
    this.element = h("div", { class: "waterfall-frame" }, this.scroller, this.splitter);
    this.list = new List({ scroller: this.scroller, height: ROW, make: () => this.make(), fill: (element, index) => this.fill(element, index), label: "spans" });
    this.share = Number(remembered("names", matchMedia("(max-width: 720px)").matches ? "58" : "36"));
    this.chosen = -1;
    this.from = 0;
    this.to = 1;
    this.setShare(this.share);
    this.scroller.addEventListener("click", (event) => this.click(event));
    this.scroller.addEventListener("dblclick", (event) => this.press(event, (row) => this.toggled(row)));
    this.scroller.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.splitter.addEventListener("pointerdown", (event) => this.drag(event));
    this.splitter.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (step) this.setShare(this.share + step);
    });
    this.observer = new ResizeObserver(() => this.drawAxis());
    this.observer.observe(this.scroller);
  }

  show(tree, sight) {
    this.tree = tree;
    this.trace = tree.trace;
    this.sight = sight;
    this.element.classList.toggle("no-money", !tree.roots.some((row) => tree.usd[row] > 0 || tree.unpriced[row] > 0));
    this.list.reset(sight.list.length, tree.trace.live);
    this.scroller.setAttribute("aria-rowcount", sight.list.length + 1);
    this.scroller.setAttribute("aria-activedescendant", this.chosenIndex() >= 0 ? `span-${this.chosenIndex()}` : "");
    this.drawAxis();
  }

  setWindow(from, to) {
    const middle = (from + to) / 2;
    const half = Math.max(LEAST, to - from) / 2;
    this.from = middle - half;
    this.to = middle + half;
    this.list.refresh();
    this.drawAxis();
  }

  zoom(factor, at = (this.from + this.to) / 2) {
    const { start, stop } = this.tree;
    const from = Math.max(start, at - (at - this.from) * factor);
    const to = Math.min(stop, at + (this.to - at) * factor);
    this.zoomed(from, to);
  }

  pan(share) {
    const { start, stop } = this.tree;
    const wide = this.to - this.from;
    const from = Math.max(start, Math.min(stop - wide, this.from + share * wide));
    this.zoomed(from, from + wide);
  }

  drawAxis() {
    const width = this.axis.clientWidth;
    if (!this.tree || !width) return;
    const step = tickStep(this.to - this.from, width / 90);
    const base = this.tree.start;
    const ticks = [];
    for (let at = Math.ceil((this.from - base) / step) * step; at <= this.to - base && ticks.length < 40; at += step) {
      const left = (100 * (at + base - this.from)) / (this.to - this.from);
      const said = at === 0 ? "0" : duration(at);
      if (this.tree.isTimed && (width * left) / 100 + 6 * said.length + 8 < width) ticks.push(h("span", { class: "tick", style: { left: `${left}%` } }, said));
    }
    this.axis.replaceChildren(...ticks);
    const wide = (width * step) / (this.to - this.from);
    const offset = (width * (Math.ceil((this.from - base) / step) * step + base - this.from)) / (this.to - this.from);
    const left = this.axis.getBoundingClientRect().left - this.scroller.getBoundingClientRect().left;
    this.scroller.style.setProperty("--tick", `${wide}px`);
    this.scroller.style.setProperty("--ticks-left", `${left + offset}px`);
  }

  make() {
    const part = (name) => h("span", { class: name });
    const cells = {
      twisty: h("span", { class: "twisty", "aria-hidden": "true" }),
      mark: part("mark"),
      name: part("label"),
      which: part("which"),
      brief: part("brief"),
      badge: part("badge"),
      dur: h("div", { class: "c-dur num", role: "gridcell" }),
      tok: h("div", { class: "c-tok num", role: "gridcell" }),
      usd: h("div", { class: "c-usd num", role: "gridcell" }),
      bar: h("i", { class: "bar" }),
      pins: part("marks"),
    };
    cells.first = h("div", { class: "c-name", role: "gridcell" }, cells.twisty, cells.mark, cells.name, cells.which, cells.brief, cells.badge);
    cells.track = h("div", { class: "c-bar", role: "gridcell" }, cells.bar, cells.pins);
    const element = h("div", { class: "row", role: "row" }, cells.first, cells.dur, cells.tok, cells.usd, cells.track);
    element.cells = cells;
    return element;
  }

  fill(element, index) {
    const entry = this.sight.list[index];
    element.id = `span-${index}`;
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-selected", entry === this.chosen);
    if (entry < 0) this.fillLog(element, this.tree.logs[-1 - entry]);
    else this.fillSpan(element, entry);
  }

  fillSpan(element, row) {
    const { trace, tree, sight } = this;
    const { cells } = element;
    const kind = trace.kindOf(row);
    const status = trace.statusOf(row);
    const deep = tree.depth[row];
    const below = tree.first[row] >= 0;
    const folded = sight.isShut(tree, row);
    element.className = `row s-${status} ${kindClass(kind)}${sight.matches && !sight.matches[row] ? " aside" : ""}${trace.critical.has(row) ? " critical" : ""}`;
    element.setAttribute("aria-level", deep + 1);
    if (below) element.setAttribute("aria-expanded", !folded);
    else element.removeAttribute("aria-expanded");
    cells.first.style.setProperty("--indent", `${Math.min(deep, 40) * INDENT}px`);
    cells.twisty.className = `twisty${below ? (folded ? " shut" : " open") : ""}`;
    cells.mark.title = kind;
    cells.name.textContent = line(trace.nameOf(row), 120);
    cells.which.textContent = line(this.whichOf(row), 60);
    cells.brief.textContent = line(`${this.retriesOf(row)}${this.briefOf(row)}`, 160);
    cells.badge.textContent = folded && tree.failures[row] > 0 && status !== "error" ? `${count(tree.failures[row])} failed` : "";
    cells.dur.textContent = trace.took(row);
    const tokens = tree.input[row] + tree.output[row];
    const own = trace.calls.has(row);
    cells.tok.textContent = short(tokens);
    cells.tok.classList.toggle("sum", !own);
    cells.usd.textContent = tree.bill(row);
    cells.usd.classList.toggle("sum", !own);
    this.placeBar(cells, trace.start[row], trace.lasts(row), row);
  }

  // How often the client sent the request of a model call again.
  retriesOf(row) {
    const tries = this.trace.calls.has(row) || this.trace.errors.has(row) ? (this.trace.events.get(row) ?? []).filter((event) => event.name === "retry").length : 0;
    return tries ? `(${tries === 1 ? "1 retry" : `${count(tries)} retries`}) ` : "";
  }

  // Which one it is of those of the same name: the number of a step, whose run it is.
  whichOf(row) {
    const { trace } = this;
    if (trace.kindOf(row) === "step") return trace.fact(row, 2) && `#${trace.fact(row, 2)}`;
    return trace.whoseOf(row);
  }

  briefOf(row) {
    const { trace } = this;
    if (trace.errors.has(row)) return trace.errors.get(row);
    const model = trace.fact(row, 0);
    return model && trace.calls.has(row) && !trace.nameOf(row).includes(model) ? `${model} ${trace.brief[row]}` : trace.brief[row];
  }

  placeBar(cells, start, lasts, row) {
    const wide = this.to - this.from;
    const left = (100 * (start - this.from)) / wide;
    const right = (100 * (start + lasts - this.from)) / wide;
    const seen = right >= 0 && left <= 100.01;
    cells.bar.hidden = !seen;
    cells.bar.style.left = `min(${Math.max(-0.5, left)}%, 100% - 2px)`; // what began at the very end is seen
    cells.bar.style.width = `${Math.min(100.5, right) - Math.max(-0.5, left)}%`;
    const marks = [];
    for (const one of this.findingsOf(row).slice(0, 3)) marks.push(this.markAt(start + lasts, `finding s-${one.severity}`, `${one.detector}: ${line(one.message, 200)}`));
    for (const one of (this.trace.events.get(row) ?? []).slice(0, 20)) marks.push(this.markAt(one.at, "event", line(one.name, 80)));
    if (marks.length || cells.pins.firstChild) cells.pins.replaceChildren(...marks.filter(Boolean));
  }

  markAt(at, name, title) {
    const left = (100 * (at - this.from)) / (this.to - this.from);
    return left >= 0 && left <= 100.01 ? h("i", { class: name, style: { left: `min(${left}%, 100% - var(--pin, 1px))` }, title }) : null;
  }

  findingsOf(row) {
    if (this.findingTrace !== this.trace || this.findingCount !== this.trace.found.size) {
      this.findingTrace = this.trace;
      this.findingCount = this.trace.found.size;
      this.byRow = new Map();
      for (const one of this.trace.findings) {
        for (const id of one.spans) {
          const at = this.trace.rows.get(id);
          this.byRow.set(at, [...(this.byRow.get(at) ?? []), one]);
        }
      }
    }
    return this.byRow.get(row) ?? [];
  }

  fillLog(element, placed) {
    const { cells } = element;
    const log = this.trace.logs[placed.number];
    element.className = `row log l-${log.level.toLowerCase()}`;
    element.setAttribute("aria-level", placed.depth + 1);
    element.removeAttribute("aria-expanded");
    cells.first.style.setProperty("--indent", `${Math.min(placed.depth, 40) * INDENT}px`);
    cells.twisty.className = "twisty";
    cells.mark.title = log.level;
    cells.name.textContent = line(log.event || log.level, 80);
    cells.which.textContent = "";
    cells.brief.textContent = line(log.message, 200);
    cells.badge.textContent = "";
    cells.dur.textContent = cells.tok.textContent = cells.usd.textContent = "";
    cells.bar.hidden = true;
    cells.pins.replaceChildren(...[this.markAt(log.at, "logmark", log.level)].filter(Boolean));
  }

  click(event) {
    this.press(event, (row, index) => {
      if (event.target.classList.contains("twisty")) this.toggled(row);
      else this.opened(row, index);
    });
  }

  press(event, work) {
    const index = this.list.indexOf(event.target);
    if (index < 0) return;
    const entry = this.sight.list[index];
    if (entry >= 0) work(entry, index);
    else if (event.type === "click") this.logOpened(this.tree.logs[-1 - entry], entry);
  }

  chosenIndex() {
    return this.sight ? this.sight.list.indexOf(this.chosen) : -1;
  }

  choose(entry, reveal = true) {
    this.chosen = entry;
    const index = this.chosenIndex();
    this.list.refresh();
    if (index >= 0 && reveal) this.list.reveal(index);
    this.scroller.setAttribute("aria-activedescendant", index >= 0 ? `span-${index}` : "");
  }

  wheel(event) {
    if (!this.tree) return;
    if (event.ctrlKey || event.metaKey) {
      const box = this.axis.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.from + share * (this.to - this.from));
      event.preventDefault();
    } else if (event.shiftKey && event.deltaY) {
      this.pan(event.deltaY > 0 ? 0.1 : -0.1);
      event.preventDefault();
    }
  }

  setShare(share) {
    this.share = Math.min(80, Math.max(15, share));
    remember("names", String(this.share));
    this.element.style.setProperty("--names", `${this.share}%`);
    this.splitter.setAttribute("aria-valuenow", Math.round(this.share));
    this.drawAxis();
  }

  drag(event) {
    const box = this.element.getBoundingClientRect();
    drag(event, (next) => this.setShare((100 * (next.clientX - box.left)) / box.width));
  }

  close() {
    this.observer.disconnect();
    this.list.close();
  }
}
