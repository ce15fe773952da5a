// All runs: filter, table, totals; new ones come in by themselves.

import { h } from "./dom.js";
import { bill, count, short, duration, moment, scoreTold, when, plural, UNKNOWN } from "./format.js";
import { FilterBar } from "./filterbar.js";
import { List } from "./list.js";
import { parse, misread, compare, nanoseconds } from "./query.js";
import { line } from "./text.js";
import { RUNS_KEYS, moved } from "./keys.js";
import { Choice } from "./choice.js";
import { Contents } from "./contents.js";

const COLUMNS = [
  ["pick", "", ""],
  ["state", "", "status"],
  ["name", "Run", "name"],
  ["began", "Started", "start_ms"],
  ["took", "Duration", "duration_ns", true],
  ["spans", "Spans", "spans", true],
  ["calls", "Calls", "calls", true],
  ["tokens", "Tokens", "tokens", true],
  ["cost", "Cost", "cost", true],
  ["errors", "Errors", "errors", true],
  ["finds", "Findings", "findings", true],
  ["model", "Model", "model"],
];
const NARROW = matchMedia("(max-width: 720px)");

export class RunsView {
  keyHelp = RUNS_KEYS;

  constructor(page, address) {
    this.page = page;
    this.rows = new Map();
    this.shown = [];
    this.selected = -1;
    this.sortBy = "start_ms";
    this.rising = false;
    this.version = 0;
    this.bar = new FilterBar({ label: "Filter runs", menus: ["status", "kind", "model", "tool", "agent", "finding"], changed: (text) => this.filtered(text) });
    this.contents = new Contents(page.source, () => this.arrange());
    this.choice = new Choice(() => this.list.refresh());
    this.scroller = h("div", { class: "table runs", role: "grid", tabindex: "0", "aria-label": "runs", onclick: (event) => this.clicked(event) });
    this.heads = COLUMNS.map(([name, label, key, number]) => this.head(name, label, key, number));
    this.scroller.append(h("div", { class: "heads", role: "rowgroup" }, h("div", { class: "row head", role: "row" }, this.heads)));
    this.empty = h("p", { class: "notice", hidden: true });
    this.share = h("p", { class: "share aside", hidden: true });
    this.element = h("section", { class: "view", "aria-label": "runs" }, h("h1", { class: "away" }, "Runs"), this.bar.element, this.share, this.choice.element, this.scroller, this.empty);
    this.list = new List({ scroller: this.scroller, height: NARROW.matches ? 58 : 30, make: () => this.make(), fill: (element, index) => this.fill(element, index), label: "runs" });
    this.resized = () => {
      this.list.height = NARROW.matches ? 58 : 30;
      for (const slot of this.list.slots) slot.element.style.height = `${this.list.height}px`;
      for (const slot of this.list.slots) slot.index = -1;
      this.list.reset(this.shown.length);
    };
    NARROW.addEventListener("change", this.resized);
    this.go(address);
    page.place("Runs");
  }

  follows(address) {
    return address.name === "runs";
  }

  go(address) {
    this.bar.query = address.params.get("q") ?? "";
    this.arrange();
  }

  async begin() {
    try {
      const told = await this.page.source.runs();
      this.path = told.path;
      this.share.textContent = told.sampled;
      this.share.hidden = !told.sampled;
      this.take(told);
    } catch (problem) {
      this.say(problem.message);
      return;
    }
    if (this.closed) return;
    this.stop = this.page.source.follow({ version: this.version }, (what, told) => {
      if (what === "runs") this.take(told);
      else if (what === "connected") this.page.connected(told);
    });
    this.clock = setInterval(() => this.age(), 1000);
    this.scroller.focus({ preventScroll: true });
  }

  take(told) {
    this.version = told.version;
    for (const row of told.rows) {
      row.heard = performance.now();
      if (!row.timed) row.duration_ns = NaN;
      row.took = row.duration_ns;
      row.cost = row.usd === null ? NaN : Number(row.usd);
      row.tokens = row.input + row.output;
      row.model = row.models.join(", ");
      row.judged = row.scores.map(scoreTold);
      row.words = [row.id, row.name, row.brief, row.outcome ?? "", row.session ?? "", row.user ?? "", row.service ?? "", row.model, row.agents.join(" "), row.tools.join(" "), row.detectors.join(" "), row.judged.join(" ")].join("\n").toLowerCase();
      this.rows.set(row.id, row);
    }
    this.loaded = true;
    this.offer();
    this.contents.grown();
    this.arrange();
  }

  offer() {
    const rows = [...this.rows.values()];
    const all = (name) => [...new Set(rows.flatMap((row) => row[name]))].sort();
    this.bar.offer({ status: [...new Set(rows.map((row) => row.status))].sort(), kind: all("kinds"), model: all("models"), tool: all("tools"), agent: all("agents"), finding: all("detectors") });
  }

  filtered(text) {
    history.replaceState(null, "", text ? `#/runs?q=${encodeURIComponent(text)}` : "#/runs");
    this.arrange();
  }

  arrange() {
    const chosen = this.shown[this.selected]?.id;
    const conditions = parse(this.bar.query);
    this.contents.want(conditions);
    const tests = conditions.map((one) => rowTest(one, this.contents));
    this.shown = [...this.rows.values()].filter((row) => tests.every((test) => test(row)));
    const { sortBy, rising } = this;
    this.shown.sort((one, other) => order(one[sortBy], other[sortBy]) * (rising ? 1 : -1) || one.start_ms - other.start_ms);
    this.longest = Math.max(1, ...this.shown.map((row) => row.duration_ns || 0));
    this.selected = chosen ? this.shown.findIndex((row) => row.id === chosen) : this.selected;
    this.list?.reset(this.shown.length);
    this.scroller.setAttribute("aria-rowcount", this.shown.length + 1);
    this.tell();
  }

  // What runs takes longer with every second, whether it writes anything or not.
  age() {
    this.shown.forEach((row, index) => {
      if (row.status !== "running") return;
      row.duration_ns = row.took + (performance.now() - row.heard) * 1e6;
      const cells = this.list.elementAt(index)?.cells;
      if (cells) cells.took.firstChild.textContent = duration(row.duration_ns);
    });
  }

  tell() {
    const sum = (name) => this.shown.reduce((total, row) => total + (row[name] || 0), 0);
    const some = this.shown.length === this.rows.size ? plural(this.rows.size, "run") : `${count(this.shown.length)} of ${plural(this.rows.size, "run")}`;
    this.bar.say([this.contents.said(), some, short(sum("tokens")) && `${short(sum("tokens"))} tokens`, bill(sum("cost"), { estimated: sum("estimated"), unpriced: sum("unpriced") })].filter(Boolean).join(" · "));
    this.say(!this.loaded ? "Loading…" : this.rows.size === 0 ? `Nothing is recorded in ${this.path} yet. It appears here when a decorated program runs.` : this.shown.length === 0 ? nothingFits(this.bar.query, this.contents.looks) : "");
  }

  say(text) {
    this.empty.textContent = text;
    this.empty.hidden = !text;
  }

  head(name, label, key, number) {
    const inner = label ? h("button", { type: "button", class: "sort", onclick: () => this.sort(key) }, label) : h("span", { class: "away" }, key || "compare");
    return h("div", { class: `c-${name}${number ? " num" : ""}`, role: "columnheader" }, inner);
  }

  sort(key) {
    this.rising = this.sortBy === key ? !this.rising : key === "name" || key === "model";
    this.sortBy = key;
    COLUMNS.forEach(([, , one], place) => {
      if (one === key) this.heads[place].setAttribute("aria-sort", this.rising ? "ascending" : "descending");
      else this.heads[place].removeAttribute("aria-sort");
    });
    this.arrange();
  }

  make() {
    const cells = Object.fromEntries(COLUMNS.map(([name, , , number]) => [name, h("div", { class: `c-${name}${number ? " num" : ""}`, role: "gridcell" })]));
    cells.link = h("a", { class: "runname", tabindex: "-1" });
    cells.brief = h("span", { class: "brief" });
    cells.name.append(cells.link, cells.brief);
    cells.box = h("input", { type: "checkbox", tabindex: "-1", title: "compare this run with another (d)" });
    cells.pick.append(cells.box);
    cells.bar = h("i", { class: "meter", "aria-hidden": "true" });
    cells.took.append(h("span", {}), cells.bar);
    const element = h("div", { class: "row", role: "row" }, COLUMNS.map(([name]) => cells[name]));
    element.cells = cells;
    return element;
  }

  fill(element, index) {
    const row = this.shown[index];
    const { cells } = element;
    element.id = `run-${index}`;
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-selected", index === this.selected);
    cells.box.checked = this.choice.held?.id === row.id;
    cells.box.setAttribute("aria-label", `compare ${line(row.name, 60)}`);
    cells.state.replaceChildren(h("span", { class: `status s-${row.status}`, title: row.status }, row.status));
    cells.link.href = this.addressOf(row);
    cells.link.textContent = line(row.name, 120);
    cells.brief.textContent = line([...row.judged, row.brief].join(" · "), 200);
    cells.began.textContent = when(row.start_ms);
    cells.began.title = moment(row.start_ms);
    cells.took.firstChild.textContent = row.timed ? duration(row.duration_ns) : UNKNOWN;
    cells.bar.hidden = !row.timed;
    cells.bar.style.width = `${Math.max(2, (100 * row.duration_ns) / this.longest)}%`;
    cells.spans.textContent = count(row.spans);
    cells.calls.textContent = row.calls ? count(row.calls) : "";
    cells.tokens.textContent = short(row.tokens);
    cells.tokens.title = row.tokens ? `${count(row.input)} in (${count(row.cached)} cached), ${count(row.output)} out` : "";
    cells.cost.textContent = costOf(row);
    cells.errors.textContent = row.errors ? count(row.errors) : row.refused ? `⊝ ${count(row.refused)}` : "";
    cells.errors.classList.toggle("bad", row.errors > 0);
    cells.errors.classList.toggle("odd", !row.errors && row.refused > 0);
    cells.errors.title = [row.errors && plural(row.errors, "error"), row.refused && plural(row.refused, "refused call")].filter(Boolean).join(", ");
    cells.finds.textContent = row.findings ? count(row.findings) : "";
    cells.finds.classList.toggle("odd", row.findings > 0);
    cells.finds.title = row.detectors.map((word) => line(word, 60)).join(", ");
    cells.model.textContent = line(row.model, 120);
  }

  clicked(event) {
    const index = this.list.indexOf(event.target);
    if (index < 0 || event.target.closest("a")) return;
    this.select(index);
    if (event.target.closest(".c-pick")) this.pick(index);
    else this.open(index);
  }

  open(index) {
    if (this.shown[index]) location.hash = this.addressOf(this.shown[index]);
  }

  // A run that was found by a word in its contents opens where the word stands.
  addressOf(row) {
    const word = this.contents.ledTo(row);
    return `#/run/${row.id}${word && `?${new URLSearchParams({ q: word })}`}`;
  }

  // Holds a run to be compared, or compares it with the one that is held.
  pick(index) {
    if (this.shown[index]) this.choice.pick(this.shown[index], [...this.rows.values()]);
    this.list.refresh();
    this.focus();
  }

  select(index) {
    this.selected = Math.max(0, Math.min(index, this.shown.length - 1));
    this.list.refresh();
    this.list.reveal(this.selected);
    this.scroller.setAttribute("aria-activedescendant", `run-${this.selected}`);
  }

  focus() {
    this.scroller.focus({ preventScroll: true });
    if (this.selected < 0 && this.shown.length) this.select(0);
  }

  key(event) {
    const to = moved(event.key, this.selected, this.shown.length);
    if (to !== null) this.select(to);
    else if ((event.key === "Enter" || event.key === "ArrowRight") && this.selected >= 0) this.open(this.selected);
    else if (event.key === "d" && this.selected >= 0) this.pick(this.selected);
    else if (event.key === "/") this.bar.focus();
    else if (event.key === "Escape" && this.choice.drop()) return true;
    else if (event.key === "Escape" && this.bar.query) {
      this.bar.query = "";
      this.filtered("");
    } else return false;
    return true;
  }

  close() {
    this.closed = true;
    this.stop?.();
    clearInterval(this.clock);
    this.contents.close();
    this.list.close();
    NARROW.removeEventListener("change", this.resized);
  }
}

function nothingFits(query, looks) {
  if (looks) return "No run fits the filter so far.";
  const odd = misread(query);
  return `No run fits the filter.${odd ? ` ${line(odd, 40)} was looked for as it stands, it is none of the conditions that ? shows.` : ""}`;
}

function costOf(row) {
  return row.usd === null ? "unpriced" : bill(row.cost, row) || (row.free ? "free" : "");
}

function order(one, other) {
  if (typeof one === "string") return one.localeCompare(other);
  return (Number.isNaN(one) ? -1 : one) - (Number.isNaN(other) ? -1 : other);
}

function rowTest({ not, key, sign, text, number }, contents) {
  const has = (words) => words.some((word) => word.toLowerCase().includes(text));
  const tests = {
    text: (row) => row.words.includes(text) || contents.has(text, row.id),
    id: (row) => row.id.startsWith(text),
    name: (row) => row.name.toLowerCase().includes(text),
    status: (row) => row.status.includes(text),
    kind: (row) => has(row.kinds),
    model: (row) => has(row.models),
    tool: (row) => has(row.tools),
    agent: (row) => has(row.agents),
    is: () => true, // of spans
    session: (row) => has([row.session ?? ""]),
    user: (row) => has([row.user ?? ""]),
    finding: (row) => (text === "any" ? row.detectors.length > 0 : has(row.detectors)),
    score: (row) => (sign === ":" ? has(row.judged) : row.ranges.some(([name, ...ends]) => name.toLowerCase().includes(text) && ends.some((end) => compare(sign, end, number)))),
    age: (row) => compare(sign, (Date.now() - row.start_ms) * 1e6, nanoseconds({ text, number })),
    cost: (row) => compare(sign, row.cost, number),
    dur: (row) => compare(sign, row.duration_ns, nanoseconds({ text, number })),
    tokens: (row) => compare(sign, row.tokens, number),
    spans: (row) => compare(sign, row.spans, number),
    errors: (row) => compare(sign, row.errors, number),
  };
  return (row) => tests[key](row) !== not;
}
