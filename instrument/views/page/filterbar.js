// The filter of a view: one line of text, and menus that write into it.

import { h } from "./dom.js";
import { withWord, wordOf } from "./query.js";
import { line } from "./text.js";

export class FilterBar {
  // `menus` are keys of the query; `changed` is told the new text.
  constructor({ label, menus, changed, extra = [] }) {
    this.changed = changed;
    this.input = h("input", { type: "search", spellcheck: "false", autocomplete: "off", oninput: () => this.told() });
    this.name(label);
    this.said = h("output", { class: "said", "aria-live": "polite" });
    this.menus = menus.map((key) => {
      const select = h("select", { "aria-label": `only this ${key}`, onchange: () => this.choose(key, select.value) });
      return { key, select, words: null };
    });
    this.element = h("div", { class: "filterbar", role: "search" }, this.input, h("div", { class: "menus" }, this.menus.map((menu) => menu.select), extra), this.said);
  }

  name(label) {
    this.input.placeholder = `${label}   /`;
    this.input.ariaLabel = label;
  }

  get query() {
    return this.input.value;
  }

  set query(text) {
    if (this.input.value !== text) this.input.value = text;
    this.show();
  }

  // What each menu offers: `{key: [words]}`.
  offer(words) {
    for (const menu of this.menus) {
      const offered = words[menu.key] ?? [];
      const key = offered.join("\n");
      menu.select.hidden = offered.length === 0;
      if (menu.words === key) continue;
      menu.words = key;
      menu.select.replaceChildren(h("option", { value: "" }, menu.key), ...offered.map((word) => h("option", { value: word }, line(word, 60))));
    }
    this.show();
  }

  choose(key, word) {
    this.input.value = withWord(this.input.value, key, word);
    this.told();
  }

  told() {
    this.show();
    this.changed(this.input.value);
  }

  show() {
    for (const { key, select } of this.menus) {
      const word = wordOf(this.input.value, key);
      const option = [...select.options].find((one) => one.value.toLowerCase() === word);
      select.value = option ? option.value : "";
      select.classList.toggle("set", word !== "");
    }
  }

  say(text) {
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  focus() {
    this.input.focus();
    this.input.select();
  }
}
