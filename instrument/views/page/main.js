// The page: which view the address asks for, the bar above it, the keys.

import { h, button } from "./dom.js";
import { source } from "./source.js";
import { help, typing, LIST_KEYS } from "./keys.js";
import { startTheme, nextTheme, theme } from "./theme.js";
import { line } from "./text.js";
import { RunsView } from "./runs.js";
import { CostsView } from "./costs.js";
import { RunView } from "./run.js";
import { DiffView } from "./diff.js";

const SCROLLING = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End", " "]);

class Page {
  constructor() {
    this.source = source();
    this.view = null;
    this.trail = h("nav", { class: "trail", "aria-label": "where this is" });
    this.themeButton = button("", () => this.switchTheme(), { class: "quiet", title: "light, dark, as the system (t)" });
    this.state = h("span", { class: "state", role: "status" });
    this.main = h("main", { id: "main" });
    const tools = h("div", { class: "tools" }, this.state, this.themeButton, button("?", () => this.help(), { class: "quiet", "aria-label": "keyboard help", title: "keyboard (?)" }));
    const bar = h("header", { class: "bar" }, this.trail, tools);
    document.getElementById("app").replaceChildren(bar, this.main);
    startTheme();
    this.themeButton.textContent = themeLabel();
    addEventListener("hashchange", () => this.route());
    addEventListener("keydown", (event) => this.key(event));
    this.route();
  }

  async route() {
    document.querySelector("dialog[open]")?.close();
    const address = addressOf(location.hash);
    if (this.source.isFile && address.name !== "run") {
      const told = await this.source.columns();
      history.replaceState(null, "", `#/run/${told.trace}`);
      return this.route();
    }
    if (this.view?.follows(address)) return this.view.go(address);
    this.view?.close();
    const kinds = { runs: RunsView, costs: CostsView, run: RunView, diff: DiffView };
    this.view = new (kinds[address.name] ?? RunsView)(this, address);
    this.main.replaceChildren(this.view.element);
    return this.view.begin?.();
  }

  // The way to the view in sight, and its title.
  place(title, links = []) {
    document.title = `${line(title, 80)} · instrument`;
    const home = this.source.isFile ? h("span", { class: "brand" }, "instrument") : h("a", { class: "brand", href: "#/runs" }, "instrument");
    const tabs = this.source.isFile ? [] : [["Runs", "#/runs"], ["Costs", "#/costs"]].map(([name, href]) => h("a", { href, class: "tab", "aria-current": name === title ? "page" : null }, name));
    this.trail.replaceChildren(home, ...tabs, ...links);
  }

  connected(is) {
    this.state.textContent = is ? "" : "not connected";
    this.state.classList.toggle("lost", !is);
  }

  switchTheme() {
    nextTheme();
    this.themeButton.textContent = themeLabel();
  }

  help() {
    help(this.view?.keyHelp ?? LIST_KEYS, !this.view?.withoutFilter);
  }

  key(event) {
    if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event)) {
      if (event.key === "Escape" || (event.key === "Enter" && event.target.type === "search")) {
        event.target.blur();
        this.view?.focus?.();
        event.preventDefault();
      }
      return;
    }
    if (event.target.closest?.(".panel") && SCROLLING.has(event.key)) return; // who reads in the panel scrolls it
    if (event.target.closest?.("button, a, summary, [role=separator], [role=slider]") && ["Enter", " ", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const done = this.generalKey(event) || this.view?.key?.(event);
    if (done) event.preventDefault();
  }

  generalKey(event) {
    if (event.key === "?") this.help();
    else if (event.key === "t") this.switchTheme();
    else if (event.key === "r" && !this.source.isFile) location.hash = "#/runs";
    else if (event.key === "s" && !this.source.isFile) location.hash = "#/costs";
    else return false;
    return true;
  }
}

// `#/run/TRACE/SPAN?tab=steps&q=…` as `{name, trace, span, params}`.
function addressOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name, trace, span] = path.split("/").map(decodeURIComponent);
  return { name: name || "runs", trace, span, params: new URLSearchParams(query) };
}

function themeLabel() {
  return { auto: "Auto", light: "Light", dark: "Dark" }[theme()];
}

new Page();
