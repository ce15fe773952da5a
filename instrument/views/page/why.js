// Why a run failed, why it was slow, why expensive: the lines of `instrument why`, each with the spans that prove it.

import { h, button, refill } from "./dom.js";
import { count } from "./format.js";
import { line, shown } from "./text.js";

const QUESTIONS = ["slow", "expensive", "failed"];
const ENDED_WELL = ["ok", "running"];
const AT_FIRST = 3;
const FEW = 7;
const PROOFS = 2;
const PAUSE_MS = 1000;

export class Why {
  // `ask()` gives the answers by question; `chosen(row)` is told which span was pressed.
  constructor({ trace, ask, chosen }) {
    Object.assign(this, { trace, ask, chosen });
    this.button = button("Why", () => this.toggle(), { class: "quiet whybutton", "aria-expanded": "false", "aria-controls": "why", title: "why it failed, was slow, was expensive (y)" });
    this.element = h("section", { id: "why", class: "why", "aria-label": "why", hidden: true });
    this.answers = null;
    this.open = false;
    this.unfolded = new Set(); // questions and lines of which all is shown
    this.known = ""; // the state of the run that the answers are of
  }

  // The run as it is now; while somebody looks, what is told grows with it.
  show(tree) {
    this.failed = tree.roots.length > 0 && !ENDED_WELL.includes(this.trace.statusOf(tree.roots[0]));
    if (this.open && this.known !== this.state()) this.askSoon();
    this.render();
  }

  state() {
    return `${this.trace.lines} ${this.trace.live}`;
  }

  learn(answers, state = this.state()) {
    this.answers = answers;
    this.known = state;
    this.problem = "";
    this.render();
  }

  toggle() {
    this.open = !this.open;
    if (this.open && this.known !== this.state()) this.askNow();
    this.render();
  }

  askSoon() {
    this.timer ??= setTimeout(() => this.askNow(), this.pause ?? 0);
  }

  async askNow() {
    if (this.asking) return;
    this.asking = true;
    const [state, began] = [this.state(), performance.now()];
    try {
      this.learn(await this.ask(), state);
    } catch (problem) {
      this.problem = problem.message;
    }
    // a huge live run is not read again more often than it can be
    this.pause = Math.max(PAUSE_MS, 4 * (performance.now() - began));
    this.asking = false;
    this.timer = undefined;
    this.render();
  }

  render() {
    const { answers, open } = this;
    const asked = this.failed ? QUESTIONS.toReversed() : QUESTIONS;
    const questions = asked.filter((one) => answers?.[one] && (open || (this.failed && one === "failed")));
    this.button.hidden = this.ask === null && !QUESTIONS.some((one) => answers?.[one]);
    this.button.setAttribute("aria-expanded", open);
    this.element.hidden = !open && !questions.length;
    this.element.classList.toggle("s-error", this.failed);
    const said = questions.length ? "" : this.problem || (answers ? "It did not fail, and nothing made it slow or expensive." : "Reading…");
    const drawn = JSON.stringify([open, said, questions.map((one) => answers[one]), [...this.unfolded]]);
    if (this.element.hidden || this.drawn === drawn) return;
    this.drawn = drawn;
    refill(this.element, ...(said ? [h("p", { class: "hint" }, said)] : questions.map((one) => this.question(one, answers[one]))));
  }

  question(name, lines) {
    const few = this.open ? (this.unfolded.has(name) ? lines.length : FEW) : AT_FIRST;
    const left = this.open ? lines.length - few : 0;
    return h("div", {},
      h("h2", {}, `Why ${name}`),
      h("ul", {}, lines.slice(0, few).map((one) => this.line(...one))),
      left > 0 ? this.more(name, `${count(left)} more`) : "");
  }

  line(text, ids, number) {
    const rows = ids.map((id) => this.trace.rows.get(id)).filter((row) => row !== undefined);
    const few = this.unfolded.has(text) ? rows.length : PROOFS;
    const links = rows.slice(0, few).map((row) => [" ", button(line(this.trace.nameOf(row), 40), () => this.chosen(row), { class: "quiet linkish" })]);
    const left = number - Math.min(few, rows.length);
    const more = left <= 0 ? "" : rows.length > few ? this.more(text, `+${count(left)}`) : h("span", { class: "hint" }, `and ${count(left)} more`);
    return h("li", {}, shown(text), links, " ", more);
  }

  more(what, label) {
    const unfold = () => {
      this.unfolded.add(what);
      this.render();
    };
    return button(label, unfold, { class: "quiet linkish" });
  }

  close() {
    clearTimeout(this.timer);
  }
}
