// What the model calls cost, day by day, by model or by agent.

import { h, button } from "./dom.js";
import { bill, count, short, money } from "./format.js";
import { line } from "./text.js";
import { LIST_KEYS } from "./keys.js";

const RANGES = [["7 days", 7], ["30 days", 30], ["90 days", 90], ["All", Infinity]];
const SHADES = 7;
const MEASURES = [["Money", "usd"], ["Tokens", "tokens"], ["Calls", "calls"]];

export class CostsView {
  keyHelp = LIST_KEYS;
  withoutFilter = true;

  constructor(page, address) {
    this.page = page;
    this.rows = [];
    this.by = address.params.get("by") === "agent" ? "agent" : "model";
    this.range = 30;
    this.measure = null;
    this.choices = h("div", { class: "choices" });
    this.body = h("div", { class: "costs" });
    this.element = h("section", { class: "view scroll", "aria-label": "costs", tabindex: "0" }, h("div", { class: "sheet" }, h("h1", {}, "Costs"), this.choices, this.body));
    page.place("Costs");
  }

  follows(address) {
    return address.name === "costs";
  }

  go() {}

  async begin() {
    try {
      const told = await this.page.source.costs();
      this.basis = told.source === "ledger" ? "From the ledger, which outlasts the records. Days are in UTC." : `From the records${told.sampled ? ", of which sampling has stored what matters and a share of the others" : ""}. Days are in UTC.`;
      this.rows = told.rows.map(([day, model, agent, calls, input, output, cached, usd, unpriced, estimated]) => ({ day, model, agent, calls, input, output, cached, tokens: input + output, usd: Number(usd), unpriced, estimated }));
    } catch (problem) {
      this.body.replaceChildren(h("p", { class: "notice" }, problem.message));
      return;
    }
    this.measure ??= this.rows.some((row) => row.usd > 0) ? "usd" : "tokens";
    this.draw();
  }

  choose(name, value) {
    this[name] = value;
    this.draw();
  }

  draw() {
    const choice = (name, options) =>
      h("div", { class: "segmented", role: "group", "aria-label": name }, options.map(([label, value]) => button(label, () => this.choose(name, value), { "aria-pressed": String(this[name] === value) })));
    this.choices.replaceChildren(
      choice("by", [["By model", "model"], ["By agent", "agent"]]),
      choice("measure", MEASURES),
      choice("range", RANGES),
    );
    if (!this.rows.length) {
      this.body.replaceChildren(h("p", { class: "notice" }, "No model call is recorded here yet."));
      return;
    }
    const days = lastDays(this.rows, this.range);
    const inRange = this.rows.filter((row) => row.day >= days[0]);
    const groups = grouped(inRange, this.by, this.measure);
    this.body.replaceChildren(this.sums(inRange), this.chart(days, inRange, groups), this.table(groups), this.days(days, inRange), h("p", { class: "aside" }, this.basis));
  }

  sums(rows) {
    const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
    const facts = [["Money", bill(sum("usd"), { estimated: sum("estimated"), unpriced: sum("unpriced") }) || "$0"], ["Calls", count(sum("calls"))], ["Input", short(sum("input")) || "0"], ["of it cached", short(sum("cached")) || "0"], ["Output", short(sum("output")) || "0"]];
    if (sum("unpriced")) facts.push(["Unpriced calls", count(sum("unpriced"))]);
    return h("dl", { class: "figures" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  chart(days, rows, groups) {
    const places = new Map(groups.map((group, place) => [group.key, Math.min(place, SHADES - 1)]));
    const sums = new Map(days.map((day) => [day, { total: 0, parts: new Array(SHADES).fill(0) }]));
    for (const row of rows) {
      const sum = sums.get(row.day);
      sum.total += row[this.measure];
      sum.parts[places.get(row[this.by])] += row[this.measure];
    }
    const most = Math.max(...[...sums.values()].map((sum) => sum.total)) || 1;
    const columns = days.map((day) => {
      const { total, parts } = sums.get(day);
      const bars = parts.map((part, place) => part > 0 && h("i", { class: `shade-${place}`, style: { height: `${(100 * part) / most}%` } }));
      return h("div", { class: "day", title: `${day}: ${this.told(total)}` }, h("div", { class: "stack" }, bars), h("span", { class: "date" }, day.slice(5)));
    });
    const legend = groups.slice(0, SHADES).map((group, place) => h("li", {}, h("i", { class: `swatch shade-${place}` }), place === SHADES - 1 && groups.length > SHADES ? "others" : line(group.key, 60)));
    return h("figure", { class: "chart" }, h("div", { class: "top" }, h("span", {}, this.told(most)), h("ul", { class: "legend" }, legend)), h("div", { class: `days${days.length > 45 ? " many" : ""}`, "aria-hidden": "true" }, columns));
  }

  told(value) {
    return this.measure === "usd" ? money(value) : count(Math.round(value));
  }

  table(groups) {
    const all = groups.reduce((total, group) => total + group[this.measure], 0) || 1;
    const rows = groups.map((group, place) => {
      const share = (100 * group[this.measure]) / all;
      return h("tr", {}, h("th", { scope: "row" }, h("i", { class: `swatch shade-${Math.min(place, SHADES - 1)}` }), line(group.key, 80)), h("td", { class: "num share" }, h("i", { class: "meter", style: { width: `${share}%` } }), share ? `${share.toFixed(share < 10 ? 1 : 0)} %` : ""), cells(group));
    });
    return sheet(this.by === "model" ? "Model" : "Agent", rows, "Share");
  }

  days(days, rows) {
    const byDay = grouped(rows, "day", "usd").sort((one, other) => (one.key < other.key ? 1 : -1));
    let sum = byDay.reduce((total, row) => total + row.usd, 0);
    const lines = byDay.map((row) => {
      const cumulated = sum;
      sum -= row.usd;
      return h("tr", {}, h("th", { scope: "row" }, row.key), h("td", { class: "num" }, money(cumulated)), cells(row));
    });
    return sheet("Day", lines, "Cumulated");
  }

  focus() {
    this.element.focus();
  }

  close() {}
}

function cells(row) {
  const counts = [row.calls, row.input, row.cached, row.output, row.unpriced || null];
  return [bill(row.usd, row) || (row.calls ? "free" : money(row.usd)), ...counts.map(count)].map((cell) => h("td", { class: "num" }, cell));
}

function sheet(name, rows, last) {
  const heads = [name, last, "Money", "Calls", "Input", "Cached", "Output", "Unpriced"];
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `by ${name.toLowerCase()}` }, h("table", { class: "sums" }, h("thead", {}, h("tr", {}, heads.map((head, place) => h("th", { scope: "col", class: place ? "num" : "" }, head)))), h("tbody", {}, rows)));
}

function grouped(rows, by, measure) {
  const groups = new Map();
  for (const row of rows) {
    const group = groups.get(row[by]) ?? { key: row[by], calls: 0, input: 0, cached: 0, output: 0, tokens: 0, usd: 0, unpriced: 0, estimated: 0 };
    for (const name of Object.keys(group)) if (name !== "key") group[name] += row[name];
    groups.set(row[by], group);
  }
  return [...groups.values()].sort((one, other) => other[measure] - one[measure] || other.tokens - one.tokens);
}

// Every day from the first one in the range to the last with a call, days without calls among them.
function lastDays(rows, range) {
  const last = rows.reduce((latest, row) => (row.day > latest ? row.day : latest), "");
  const first = rows.reduce((earliest, row) => (row.day < earliest ? row.day : earliest), last);
  const days = [];
  for (let ms = Date.parse(last); days.length < Math.min(range, 400); ms -= 86_400_000) {
    const day = new Date(ms).toISOString().slice(0, 10);
    days.unshift(day);
    if (day <= first) break;
  }
  return days;
}
