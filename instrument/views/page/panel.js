// One span whole: what went in, what came out, what was said, what was found.

import { h, button, copyButton, copy } from "./dom.js";
import { clock, count, duration, moment, money, plural } from "./format.js";
import { written } from "./exact.js";
import { block, line, shown } from "./text.js";
import { valueView } from "./values.js";
import { conversation, isConversation } from "./conversation.js";
import { kindClass } from "./theme.js";

export class Panel {
  // `chosen(row)` is told when another span was pressed in the panel.
  constructor({ source, chosen, closed }) {
    Object.assign(this, { source, chosen, closed });
    this.element = h("aside", { class: "panel", "aria-label": "span", tabindex: "-1", hidden: true });
    this.row = -1;
  }

  async show(tree, row) {
    const { trace } = tree;
    const same = this.row === row && this.trace === trace && this.status === trace.statusOf(row);
    if (same && !this.element.hidden) return;
    Object.assign(this, { tree, trace, row, status: trace.statusOf(row) });
    this.element.hidden = false;
    const body = h("div", { class: "panel-body" });
    const waiting = h("p", { class: "notice" }, "Reading…");
    body.append(this.facts(), ...this.known(), waiting);
    const read = this.element.contains(document.activeElement);
    this.element.replaceChildren(this.head(), body);
    if (read) this.element.focus({ preventScroll: true });
    this.element.scrollTop = 0;
    let span;
    try {
      span = await this.source.span(trace, row);
    } catch (problem) {
      waiting.textContent = problem.message;
      return;
    }
    if (this.row !== row || this.trace !== trace) return;
    waiting.remove();
    body.append(...this.sections(span));
  }

  shows(row) {
    return this.row === row && !this.element.hidden;
  }

  close() {
    this.element.hidden = true;
    this.row = -1;
  }

  head() {
    const { trace, row } = this;
    const kind = trace.kindOf(row);
    const link = button("Link", async () => {
      link.textContent = (await copy(location.href)) ? "Copied" : "Not allowed";
      setTimeout(() => (link.textContent = "Link"), 1200);
    }, { class: "quiet", title: "copy a link to this span (c)" });
    return h("header", { class: `panel-head ${kindClass(kind)} s-${this.status}` },
      h("span", { class: "mark", "aria-hidden": "true" }),
      h("h2", {}, shown(trace.nameOf(row).slice(0, 200))),
      h("span", { class: "kindname" }, line(kind, 40)),
      h("span", { class: `status s-${this.status}` }, this.status),
      h("span", { class: "gap" }), link, button("×", () => this.closed(), { class: "quiet x", "aria-label": "close", title: "close (Esc)" }));
  }

  facts() {
    const { trace, tree, row } = this;
    const call = trace.calls.get(row);
    const inside = tree.end[row] - tree.place[row] - 1;
    const facts = [
      ["Began", trace.isTimed(row) && `${moment(trace.wallMs(trace.start[row]))}, ${duration(trace.start[row] - tree.start)} in`],
      [this.status === "unfinished" ? "Took at least" : "Took", !trace.isTimed(row) ? "not known, only the order" : inside ? `${trace.took(row)}, ${duration(tree.ownTime(row))} of it itself` : trace.took(row)],
      ["Model", line(trace.fact(row, 0), 100)],
      ["Tokens", call && tokensTold(call)],
      ["Searches", call && call.searches ? count(call.searches) : ""],
      ["Cost", call && costTold(call)],
      ["Below it", inside && `${plural(inside, "span")}${tree.calls[row] ? `, ${plural(tree.calls[row], "model call")}` : ""}`],
      ["Tokens below", inside && tree.input[row] + tree.output[row] > 0 && `${count(tree.input[row])} in, ${count(tree.output[row])} out${tree.bill(row) && `, ${tree.bill(row)}`}`],
      ["Agent", line(trace.fact(row, 1), 100)],
      ["Iteration", trace.fact(row, 2)],
      ["Process", processTold(trace, row)],
    ];
    return h("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  // What is in the columns already.
  known() {
    const { trace, row } = this;
    const id = trace.ids[row];
    const findings = trace.findings.filter((one) => one.spans.includes(id));
    return findings.map((one) => h("div", { class: `finding s-${one.severity}` }, h("b", {}, `${line(one.detector, 60)} `), shown(one.message), one.advice ? h("p", { class: "advice" }, one.advice) : "", this.evidence(one)));
  }

  evidence(one) {
    const rows = one.spans.map((id) => this.trace.rows.get(id)).filter((row) => row !== undefined && row !== this.row);
    if (!rows.length) return "";
    return h("p", { class: "evidence" }, "Also: ", rows.slice(0, 8).map((row) => [button(line(this.trace.nameOf(row), 40), () => this.chosen(row), { class: "quiet linkish" }), " "]), rows.length > 8 ? `and ${count(rows.length - 8)} more` : "");
  }

  sections(span) {
    const blob = (digest) => this.source.blob(digest);
    const parts = [];
    const add = (title, value, view, open = true) => value && parts.push(section(title, () => textOf(value), view, open));
    if (span.error) add("Error", span.error, () => errorView(span.error));
    const input = span.input;
    const messages = input?.messages;
    if (isConversation(messages)) {
      add("Conversation", messages, () => conversation([...messages, ...answers(span.output)], blob));
      const { messages: _, ...others } = input;
      if (Object.keys(others).length) add("Settings and tools", others, () => valueView(others, blob, false), false);
      if (!answers(span.output).length && isGiven(span.output)) add("Output", span.output, () => valueView(span.output, blob));
    } else {
      if (isGiven(input)) add("Input", input, () => valueView(input, blob));
      if (isConversation(answers(span.output))) add("Answer", span.output, () => conversation(answers(span.output), blob));
      else if (isGiven(span.output)) add("Output", span.output, () => valueView(span.output, blob));
    }
    const logs = this.trace.logs.filter((log) => log.span === span.span_id);
    add("Logs", logs.length && logs, () => h("ol", { class: "loglist" }, logs.slice(0, 500).map((log) => logView(this.trace, log))));
    add("Events", span.events?.length && span.events, () => h("div", {}, span.events.map((event) => h("div", { class: "event" }, h("b", {}, line(event.name, 100)), " ", h("span", { class: "hint" }, duration(Number(BigInt(event.time_ns) - this.trace.base) - this.trace.start[this.row])), event.attributes ? valueView(event.attributes, blob) : ""))));
    const isRoot = this.row === this.tree.roots[0];
    const scores = this.trace.scores.filter((score) => score.span === span.span_id || (isRoot && !score.span));
    add("Scores", scores.length && scores, () => h("div", {}, scores.map((score) => h("div", { class: "event" }, h("b", {}, line(score.name, 80)), ` ${score.value ?? ""} ${line(score.label ?? "", 200)} `, h("span", { class: "hint" }, line(score.source ?? "", 40))))));
    add("Links", span.links?.length && span.links, () => h("div", {}, span.links.map((link) => h("a", { href: `#/run/${encodeURIComponent(link.trace_id)}/${encodeURIComponent(link.span_id)}` }, link.span_id, " "))));
    add("Attributes", isGiven(span.attributes) && span.attributes, () => valueView(span.attributes, blob));
    add("Record", span, () => block(written(span), "code"), false);
    return parts;
  }
}

function section(title, give, view, open) {
  const body = h("div", { class: "section-body" });
  const details = h("details", { class: "section" }, h("summary", {}, title), copyButton(give), body);
  const fill = () => details.open && !body.hasChildNodes() && body.append(view());
  details.addEventListener("toggle", fill);
  details.open = open;
  fill();
  return details;
}

export function logView(trace, log, pressed = null) {
  const at = h("time", {}, clock(trace.wallMs(log.at)), h("span", { class: "fine" }, `.${String(Math.floor(((log.at / 1e6 + trace.wallMs(0)) % 1000 + 1000) % 1000)).padStart(3, "0")}`));
  const event = pressed ? button(line(log.event || "log", 80), pressed, { class: "quiet linkish" }) : h("b", {}, line(log.event || "log", 80));
  return h("li", { class: `logline l-${log.level.toLowerCase()}` }, at, h("span", { class: "level" }, log.level.toLowerCase()), event, h("span", { class: "message" }, shown(log.message)), log.metadata ? h("code", { class: "meta" }, line(log.metadata, 400)) : "");
}

function errorView(error) {
  const causes = (error.causes ?? []).map((cause) => [h("p", { class: "hint" }, "because of"), errorView(cause)]);
  return h("div", { class: "failure" }, h("p", { class: "what" }, h("b", {}, line(error.type, 200)), error.message ? ": " : "", shown((error.message ?? "").slice(0, 5000))), error.stack ? block(error.stack, "code") : "", causes);
}

function answers(output) {
  const messages = typeof output?.role === "string" ? [output] : output?.messages;
  return isConversation(messages) ? messages : [];
}

function isGiven(value) {
  return value !== null && value !== undefined && !(typeof value === "object" && Object.keys(value).length === 0);
}

function textOf(value) {
  return typeof value === "string" ? value : written(value);
}

function tokensTold(call) {
  const parts = [`${count(call.input ?? 0)} in`];
  if (call.cached) parts.push(`${count(call.cached)} of it cached`);
  if (call.cacheWrite) parts.push(`${count(call.cacheWrite)} written to the cache`);
  parts.push(`${count(call.output ?? 0)} out`);
  if (call.reasoning) parts.push(`${count(call.reasoning)} of it reasoning`);
  return parts.join(", ");
}

function costTold(call) {
  if (call.basis === "free") return "free";
  if (Number.isNaN(call.usd)) return call.basis === "unpriced" ? "unpriced: no price is known for this model" : "";
  return call.basis === "estimated" ? `~${money(call.usd)}, estimated` : money(call.usd);
}

function processTold(trace, row) {
  const run = trace.runs.get(trace.words[trace.run[row]]);
  if (!run?.pid) return ""; // taken in from elsewhere
  const [program = "", ...words] = run.argv ?? [];
  return line([run.pid, "·", program.split(/[\\/]/).slice(-2).join("/"), ...words].join(" "), 160);
}
