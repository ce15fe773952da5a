// Where the data come from: the server that gave this page, or the page itself.

import { parsed } from "./exact.js";

const decoder = new TextDecoder();

export function source() {
  return document.getElementById("columns") ? new FileSource() : new ServerSource();
}

class ServerSource {
  isFile = false;

  runs() {
    return this.get("api/runs");
  }

  costs() {
    return this.get("api/costs");
  }

  // The runs in which a text stands, as far as they were looked at; more of them with every time that it is asked.
  contents(text) {
    return this.get(`api/search?q=${encodeURIComponent(text)}`);
  }

  columns(trace) {
    return this.get(`api/run/${trace}`);
  }

  findings(trace) {
    return this.get(`api/run/${trace}/findings`);
  }

  why(trace) {
    return this.get(`api/run/${trace}/why`);
  }

  async span(trace, row) {
    return this.get(`api/run/${trace.id}/span/${encodeURIComponent(trace.ids[row])}`, parsed);
  }

  search(trace, text) {
    return this.get(`api/run/${trace.id}/search?q=${encodeURIComponent(text)}`);
  }

  // Null where nothing came since the state that an earlier answer named.
  diff(a, b, state = "") {
    return this.get(`api/diff/${encodeURIComponent(a)}/${encodeURIComponent(b)}${state && `?since=${encodeURIComponent(state)}`}`);
  }

  // One call of the one run and one of the other; null where it has none.
  calls([a, b], [one, two]) {
    const spans = new URLSearchParams({ ...(one ? { span_a: one } : {}), ...(two ? { span_b: two } : {}) });
    return this.get(`api/diff/${encodeURIComponent(a)}/${encodeURIComponent(b)}?${spans}`);
  }

  async blob(digest) {
    const answer = await fetch(`api/blob/${digest}`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    return answer.text();
  }

  // Tells `heard` of what changes; gives a function that stops it.
  follow({ trace = null, after = 0, version = 0 }, heard) {
    let stream = null;
    const open = () => {
      const about = new URLSearchParams({ version, ...(trace ? { run: trace, after } : {}) });
      stream = new EventSource(`api/events?${about}`);
      stream.addEventListener("runs", (event) => {
        const told = JSON.parse(event.data);
        version = told.version;
        heard("runs", told);
      });
      stream.addEventListener("columns", (event) => {
        const told = JSON.parse(event.data);
        after = told.lines;
        heard("columns", told);
      });
      stream.addEventListener("open", () => heard("connected", true));
      stream.addEventListener("error", () => {
        stream.close(); // what was seen meanwhile is known here, so the next one begins behind it
        heard("connected", false);
        timer = setTimeout(open, 1500);
      });
    };
    let timer = setTimeout(open, 0);
    return () => {
      clearTimeout(timer);
      stream?.close();
    };
  }

  async get(address, read = JSON.parse) {
    const answer = await fetch(address).catch(() => {
      throw new Error("The server does not answer. Does `instrument serve` still run?");
    });
    if (!answer.ok) throw new Error(await sentence(answer));
    return answer.status === 204 ? null : read(await answer.text());
  }
}

async function sentence(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

class FileSource {
  isFile = true;
  pieces = new Map();

  async columns() {
    const told = JSON.parse(await unpacked("columns"));
    this.starts = told.pieces;
    this.blobs = told.blobs;
    this.trace = told.trace;
    return told;
  }

  async span(trace, row) {
    const piece = this.pieceOf(row);
    const spans = await this.piece(piece);
    return spans[row - this.starts[piece]];
  }

  pieceOf(row) {
    let piece = this.starts.length - 1;
    while (piece > 0 && this.starts[piece] > row) piece--;
    return piece;
  }

  // The spans of a piece; the last few that were asked for are kept.
  async piece(number) {
    if (!this.pieces.has(number)) {
      if (this.pieces.size > 8) this.pieces.delete(this.pieces.keys().next().value);
      this.pieces.set(number, unpacked(`piece-${number}`).then(parsed));
    }
    return this.pieces.get(number);
  }

  async search(trace, text) {
    const escaped = (word) => JSON.stringify(word).slice(1, -1);
    const forms = [...new Set([text, escaped(text), escaped(escaped(text))].map((word) => word.toLowerCase()))];
    const isIn = (words) => {
      const lowered = words.toLowerCase();
      return forms.some((form) => lowered.includes(form));
    };
    for (const digest of this.blobs) if (isIn(await this.blob(digest))) forms.push(digest); // who refers to it holds it
    const found = trace.logs.filter((log) => log.span && isIn(`${log.event} ${log.message} ${log.metadata}`)).map((log) => log.span);
    for (let piece = 0; piece < this.starts.length; piece++) {
      const whole = await unpacked(`piece-${piece}`);
      if (isIn(whole)) found.push(...JSON.parse(whole).filter((span) => isIn(JSON.stringify(span))).map((span) => span.span_id));
    }
    return found;
  }

  async blob(digest) {
    const number = this.blobs.indexOf(digest);
    if (number < 0) throw new Error("the value is not in this file");
    return unpacked(`blob-${number}`);
  }

  async findings() {
    return null; // they are among the columns
  }

  follow() {
    return () => {};
  }
}

async function unpacked(name) {
  // the script runs before the whole file is read
  if (!document.getElementById(name) && document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done, { once: true }));
  const text = document.getElementById(name).textContent;
  const packed = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return decoder.decode(await new Response(stream).arrayBuffer());
}
