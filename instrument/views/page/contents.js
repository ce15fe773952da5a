// Words of the filter looked for in what all runs hold: a part of it at a time, and told when that is not all yet.

const WAIT_MS = 250;
const AGAIN_MS = 1000;

export class Contents {
  // `changed()` is told when more runs were found or more of them were looked at.
  constructor(source, changed) {
    Object.assign(this, { source, changed });
    this.words = [];
    this.found = new Map(); // word → ids of the runs in which it stands
    this.share = new Map(); // word → how much of all was looked at
    this.looks = false;
    this.ready = false;
    this.problem = "";
  }

  // The words that these conditions look for.
  want(conditions) {
    const words = [...new Set(conditions.filter((one) => one.key === "text" && one.text.length > 1).map((one) => one.text))];
    if (words.join("\n") === this.words.join("\n")) return;
    this.words = words;
    this.looks = words.some((word) => this.share.get(word) !== 1);
    this.later(WAIT_MS, true);
  }

  // What runs have got since is looked at, too; before the first of them are here the server has enough to do.
  grown() {
    const ms = this.ready ? AGAIN_MS : 0;
    this.ready = true;
    if (this.words.length) this.later(ms, false);
  }

  later(ms, anew) {
    if (anew) clearTimeout(this.timer);
    else if (this.timer) return;
    this.timer = this.ready ? setTimeout(() => this.look(), ms) : 0;
  }

  async look() {
    this.timer = 0;
    const { words } = this;
    this.problem = "";
    for (const word of words) {
      do {
        try {
          const told = await this.source.contents(word);
          this.found.set(word, new Set(told.ids));
          this.share.set(word, told.share);
        } catch (problem) {
          this.problem = problem.message;
        }
        if (this.closed || this.words !== words) return;
        this.looks = !this.problem && words.some((one) => this.share.get(one) !== 1);
        this.changed();
      } while (!this.problem && this.share.get(word) !== 1);
    }
  }

  has(word, id) {
    return this.found.get(word)?.has(id) ?? false;
  }

  // The word by which a run was found, as it stands in a filter, where it is the only one and not in the run's row.
  ledTo(row) {
    const [word] = this.words;
    if (this.words.length !== 1 || row.words.includes(word) || !this.has(word, row.id)) return "";
    return /^\w+$/.test(word) ? word : JSON.stringify(word);
  }

  // How far it has come, where that is not all.
  said() {
    if (this.problem) return `contents were not looked at: ${this.problem}`;
    if (!this.looks || !this.ready) return "";
    const share = this.words.reduce((sum, word) => sum + (this.share.get(word) ?? 0), 0) / this.words.length;
    return `${Math.floor(100 * share)}% of the contents looked at`;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }
}
