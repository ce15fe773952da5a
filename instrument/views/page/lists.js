// Findings and logs of a run, one below the other.

import { h, button } from "./dom.js";
import { duration, plural, count } from "./format.js";
import { line, shown } from "./text.js";
import { parse } from "./query.js";
import { matching } from "./rows.js";
import { List } from "./list.js";
import { logView } from "./panel.js";

export function findingsView(tree, opened, aside) {
  const { trace } = tree;
  if (!trace.findings.length) return h("div", { class: "sheet" }, h("p", { class: "notice" }, "Nothing was found: no repetition, no waste, no storm of errors."), aside ? h("p", { class: "aside" }, aside) : "");
  const items = trace.findings.map((one) => {
    const rows = one.spans.map((id) => trace.rows.get(id)).filter((row) => row !== undefined);
    const evidence = rows.slice(0, 12).map((row) => h("li", {}, button(line(trace.nameOf(row), 60), () => opened(row), { class: "quiet linkish" }), h("span", { class: "hint" }, trace.isTimed(row) ? ` at ${duration(trace.start[row] - tree.start)}, ${trace.took(row)} ` : " "), h("span", { class: "brief" }, line(trace.brief[row], 120))));
    return h("li", { class: `finding s-${one.severity}` },
      h("h3", {}, h("span", { class: `status s-${one.severity}` }, one.severity), line(one.detector, 60), tree.isTimed ? h("span", { class: "hint" }, ` at ${duration(one.at - tree.start)}`) : ""),
      h("p", {}, shown(one.message)),
      one.advice ? h("p", { class: "advice" }, one.advice) : "",
      h("ul", { class: "spans" }, evidence),
      rows.length > 12 ? h("p", { class: "hint" }, `and ${plural(rows.length - 12, "span")} more`) : "");
  });
  return h("div", { class: "sheet" }, h("h2", {}, plural(items.length, "finding")), h("ol", { class: "findings" }, items), aside ? h("p", { class: "aside" }, aside) : "");
}

// All logs in order of time: those in which the words of the filter are, of spans for which its conditions hold.
export class LogsView {
  constructor(opened) {
    this.opened = opened;
    this.scroller = h("div", { class: "table logs", tabindex: "0", role: "region", "aria-label": "logs" });
    this.empty = h("p", { class: "notice" });
    this.element = h("div", { class: "logs-frame" }, this.empty, this.scroller);
    this.list = new List({ scroller: this.scroller, height: 24, make: () => h("div", { class: "logrow" }), fill: (element, index) => this.fill(element, index), label: "logs" });
    this.list.body.removeAttribute("role");
    this.list.body.removeAttribute("aria-label");
  }

  show(tree, query) {
    const { trace } = tree;
    this.trace = trace;
    const asked = parse(query);
    const words = asked.filter((one) => one.key === "text");
    const spans = asked.length > words.length && matching(tree, asked.filter((one) => one.key !== "text"), null);
    const fits = (log) => {
      const text = `${log.level} ${log.event} ${log.message} ${log.metadata}`.toLowerCase();
      return words.every((one) => text.includes(one.text) !== one.not) && (!spans || spans[trace.rows.get(log.span)] === 1);
    };
    this.logs = asked.length ? trace.logs.filter(fits) : [...trace.logs];
    this.logs.sort((one, other) => one.at - other.at);
    this.empty.hidden = this.logs.length > 0;
    this.empty.textContent = trace.logs.length ? "No log fits the filter." : "Nothing was logged.";
    this.list.reset(this.logs.length, trace.live);
    return asked.length ? `${count(this.logs.length)} of ${plural(trace.logs.length, "log")}` : "";
  }

  fill(element, index) {
    const log = this.logs[index];
    const row = this.trace.rows.get(log.span);
    const view = logView(this.trace, log, row === undefined ? null : () => this.opened(row));
    element.className = `logrow ${view.className}`;
    element.title = line(log.message, 500);
    element.replaceChildren(...view.childNodes);
  }

  close() {
    this.list.close();
  }
}
