// The messages of a model call as a conversation.

import { h, button, copyButton } from "./dom.js";
import { parsed, written } from "./exact.js";
import { bytes, plural } from "./format.js";
import { block, line, shown } from "./text.js";
import { valueView, textView } from "./values.js";

const SHOWN = 8;
const FENCE = /```([\w+-]*)\n([\s\S]*?)(?:```|$)/g;

// Whether the value looks like messages.
export function isConversation(messages) {
  return Array.isArray(messages) && messages.length > 0 && messages.every((one) => one !== null && typeof one === "object" && !Array.isArray(one) && ("role" in one || "type" in one));
}

// The messages; of a long conversation the first and the last ones, the others when asked.
export function conversation(messages, blob) {
  const list = h("ol", { class: "talk" });
  if (messages.length <= SHOWN + 2) {
    list.append(...messages.map((one) => message(one, blob)));
    return list;
  }
  const middle = messages.slice(1, 1 - SHOWN);
  const fold = h("li", { class: "fold" }, button(`Show ${plural(middle.length, "message")} in between`, () => fold.replaceWith(...middle.map((one) => message(one, blob))), { class: "quiet more" }));
  list.append(message(messages[0], blob), fold, ...messages.slice(1 - SHOWN).map((one) => message(one, blob)));
  return list;
}

function message(one, blob) {
  const role = line(String(one.role ?? roleOf(one.type)), 30);
  const parts = partsOf(one);
  const head = h("div", { class: "role" }, h("span", { class: "who" }, role), one.name ? h("span", { class: "hint" }, line(String(one.name), 60)) : "", one.finish_reason ? h("span", { class: "hint" }, line(String(one.finish_reason), 40)) : "", copyButton(() => plainText(parts)));
  return h("li", { class: `message r-${["system", "developer", "user", "assistant", "tool"].includes(role) ? role : "other"}` }, head, parts.map((part) => partView(part, blob)));
}

function roleOf(type) {
  return String(type).endsWith("_output") ? "tool" : ["reasoning", "function_call"].includes(type) || String(type).endsWith("_call") ? "assistant" : "user";
}

// Parts of our own shape, and of what clients send (content as text or blocks, calls beside it, Responses items).
function partsOf(one) {
  if (Array.isArray(one.parts)) return one.parts;
  const parts = [];
  if (one.type === "function_call") parts.push({ type: "tool_call", id: one.call_id, name: one.name, arguments: one.arguments });
  else if (one.type === "function_call_output") parts.push({ type: "tool_call_response", id: one.call_id, response: one.output });
  else if (one.role === "tool") parts.push({ type: "tool_call_response", id: one.tool_call_id, response: one.content });
  else if (typeof one.content === "string") parts.push({ type: "text", content: one.content });
  else if (Array.isArray(one.content)) parts.push(...one.content.map((block) => (typeof block?.text === "string" ? { ...block, type: "text", content: block.text } : block)));
  else if (one.content !== null && one.content !== undefined) parts.push({ type: "value", content: one.content });
  for (const call of Array.isArray(one.tool_calls) ? one.tool_calls : []) parts.push({ type: "tool_call", id: call?.id, name: call?.function?.name ?? call?.name, arguments: call?.function?.arguments ?? call?.arguments });
  return parts.length ? parts : [{ type: "value", content: one }];
}

function partView(part, blob) {
  if (part === null || typeof part !== "object") return valueView(part, blob);
  const { type, content } = part;
  if (type === "text" || type === "refusal") return typeof content === "string" ? prose(content, blob) : valueView(content ?? part, blob);
  if (type === "reasoning") return h("details", { class: "reasoning" }, h("summary", {}, "Reasoning"), typeof content === "string" ? block(content) : valueView(content ?? part, blob));
  if (type === "tool_call" || type === "server_tool_call") return h("div", { class: "call" }, h("div", { class: "callname" }, h("b", {}, line(String(part.name ?? "?"), 120)), h("span", { class: "hint" }, line(String(part.id ?? ""), 60))), valueView(decoded(part.arguments), blob));
  if (type === "tool_call_response") return h("div", { class: "call answer" }, h("div", { class: "callname" }, h("b", {}, "result"), h("span", { class: "hint" }, line(String(part.id ?? ""), 60))), answerView(part.response, blob));
  if (type === "blob" || type === "uri" || type === "file") return h("div", { class: "media" }, `${line(String(part.modality ?? type), 40)} ${line(String(part.mime_type ?? part.uri ?? part.file_id ?? ""), 200)}${part.bytes ? `, ${bytes(part.bytes)}` : ""}`);
  return valueView(content ?? part, blob);
}

function answerView(response, blob) {
  if (Array.isArray(response) && response.every((one) => one?.type === "text")) return h("div", {}, response.map((one) => textView(String(one.content ?? one.text ?? ""), blob)));
  return valueView(response ?? null, blob);
}

function decoded(text) {
  if (typeof text !== "string") return text ?? null;
  try {
    return parsed(text);
  } catch {
    return text;
  }
}

// Text with its fenced code set as code; nothing else of its markup means anything here.
function prose(text, blob) {
  if (text.length > 60_000 || !text.includes("```")) return textView(text, blob);
  const made = h("div", { class: "prose" });
  let at = 0;
  for (const found of text.matchAll(FENCE)) {
    if (found.index > at) made.append(h("pre", { class: "block", dir: "auto" }, shown(text.slice(at, found.index).replace(/\n$/, ""))));
    made.append(h("figure", { class: "code" }, found[1] ? h("figcaption", {}, found[1]) : "", block(found[2].replace(/\n$/, ""), "code")));
    at = found.index + found[0].length;
  }
  if (text.slice(at).trim()) made.append(h("pre", { class: "block", dir: "auto" }, shown(text.slice(at).replace(/^\n/, ""))));
  return made;
}

function plainText(parts) {
  return parts.map((part) => (typeof part?.content === "string" ? part.content : written(part))).join("\n");
}
