// records.js - deletion records: the list of the ledger, and one record. Only read; app.js has what pages share.
"use strict";

const kinds = {ledger: "beginning", run: "run", train: "training", unlearn: "deletion", audit: "audit", signature: "signature"};
const day = text => text ? when(Date.parse(text) / 1000) : "–";
const recordLink = r => h("a", {href: "#/record/" + r.id}, `${r.id}. ${kinds[r.kind] || r.kind}`);
const hasReceipt = r => r.kind !== "ledger" && r.kind !== "signature";
const receiptLink = (id, shown, button) => h("a", {class: button ? "button primary" : "", href: "/receipt?id=" + id}, shown);

async function showRecords(mine) {
  const found = await get("/api/records"), filter = h("input", {type: "search", id: "filter", placeholder: "request, run, method", autocomplete: "off", oninput: draw});
  if (mine !== page)
    return;
  const count = h("p", {class: "soft small"}), holder = h("div", {class: "card"});
  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = found.records.filter(r => words.every(w => `${r.id} ${kinds[r.kind] || r.kind} ${r.request || ""} ${r.run || ""} ${r.method || ""} ${r.verdict || ""}`.toLowerCase().includes(w))).reverse();
    count.textContent = `${shown.length} of ${found.records.length} records`;
    holder.replaceChildren(h("table", {class: "stack flush"},
      h("thead", null, h("tr", null, ["Record", "Request", "Run", "Method", "Verdict", "Time", "Receipt"].map(text => h("th", null, text)))),
      h("tbody", null, shown.map(r => h("tr", null,
        h("th", {scope: "row"}, recordLink(r)), h("td", {"data-label": "Request"}, r.request || ""), h("td", {class: "mono"}, (r.run || "").split("/").at(-1)),
        h("td", {"data-label": "Method"}, r.method || ""), h("td", {"data-label": "Verdict"}, r.verdict || ""), h("td", {class: "small soft"}, day(r.time)),
        h("td", null, hasReceipt(r) ? receiptLink(r.id, "Receipt") : ""))))));
  }
  put("Deletion records", found.file
    ? [h("p", {class: "soft"}, "What was trained, forgotten and audited, in the ledger ", h("span", {class: "mono"}, found.file), ". This page changes nothing in it; ", h("code", null, "lethe ledger verify"), " checks it."),
       h("div", {class: "tools"}, h("div", {class: "field"}, h("label", {htmlFor: "filter"}, "Filter"), filter)), count, holder]
    : h("div", {class: "card"}, h("p", null, "No records yet. Training, deletions and audits of this directory are recorded when they finish.")));
  if (found.file)
    draw();
  follow(null, {});
}

async function showRecord(mine, id) {
  const record = await get("/api/record?id=" + encodeURIComponent(id)), b = record.body;
  if (mine !== page)
    return;
  const text = (name, value, mono) => value === undefined || value === null || value === "" ? null : fact(name, mono ? h("span", {class: "mono"}, String(value)) : String(value));
  const of = (...path) => path.reduce((v, key) => v && typeof v === "object" ? v[key] : undefined, b);
  const open = Array.isArray(b.not_proven) ? b.not_proven.filter(s => typeof s === "string") : [];
  put(`Record ${record.id}`,
    h("p", {class: "soft"}, `${kinds[b.kind] || b.kind}, ${day(b.time)}`),
    hasReceipt(b) ? h("div", {class: "buttons"}, receiptLink(record.id, "Open the receipt", true)) : null,
    h("section", {class: "card"}, h("h2", null, "What is recorded"), h("dl", {class: "facts plain"},
      text("Request", b.request), text("Method", of("method", "title") || of("method", "name")), text("Forgotten samples", of("forget", "n")), text("Asked", of("forget", "asked"), true),
      text("Run", of("run", "dir"), true), text("Data", of("data", "spec"), true), text("Verdict", of("result", "verdict", "overall")),
      text("Model before", of("parent", "digest"), true), text("Model", of("model", "digest"), true), text("Covers records up to", b.kind === "signature" ? b.of : null),
      text("Digest of the record", record.digest, true), text("Digest before", record.prev, true))),
    open.length ? h("section", {class: "card"}, h("h2", null, "What this does not prove"), h("ul", null, open.map(s => h("li", null, s)))) : null,
    h("section", {class: "card"}, h("details", null, h("summary", null, "The whole record"), h("pre", {tabIndex: 0}, JSON.stringify(b, null, 1)))));
  follow(null, {});
}

// For the page of a run: the records of its model.
async function recordsOf(digest) {
  const {records} = await get("/api/records").catch(() => ({records: []}));
  return digest ? records.filter(r => r.model === digest && hasReceipt(r)) : [];
}
