// app.js - the pages of the dashboard. Everything shown is made of text nodes and elements: no text becomes markup.
"use strict";

// ---- elements

function h(tag, properties, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false)
      continue;
    if (key.startsWith("on"))
      e.addEventListener(key.slice(2), value);
    else if (key === "class")
      e.className = value;
    else if (key in e && !key.startsWith("aria") && key !== "list" && key !== "form")
      e[key] = value;
    else
      e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.flat(9).filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

const $ = id => document.getElementById(id);
const say = text => { $("status").textContent = text; };

// ---- the token: it comes in the fragment, which no server sees, and stays with this tab

const KEY = "lethe-token";
let mayWrite = false;

function takeToken() {
  const found = /^#token=([0-9a-f]{64})$/.exec(location.hash);
  if (!found)
    return;
  sessionStorage.setItem(KEY, found[1]);
  history.replaceState(null, "", location.pathname + "#/runs");
}

class Refused extends Error {
  constructor(code, error) {
    super(error.message || "the server cannot be reached");
    this.code = code;
    this.hint = error.hint || "";
  }
}

async function call(method, path, body) {
  const headers = {}, token = sessionStorage.getItem(KEY);
  if (token)
    headers.Authorization = "Bearer " + token;
  if (body)
    headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {method, headers, body: body ? JSON.stringify(body) : undefined, credentials: "same-origin"});
  } catch {
    throw new Refused(0, {message: "the server cannot be reached", hint: "is lethe serve still running?"});
  }
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const value = isJson ? await answer.json() : await answer.text();
  if (!answer.ok)
    throw new Refused(answer.status, value.error || {message: `answer ${answer.status}`});
  return value;
}
const get = path => call("GET", path);
const post = (path, body) => call("POST", path, body);

// With the token, the tab also gets the cookie that streams and report pages are read with.
async function openSession() {
  mayWrite = false;
  if (sessionStorage.getItem(KEY)) {
    try {
      mayWrite = (await post("/api/session", {})).may_write;
    } catch (e) {
      if (e.code === 401)
        sessionStorage.removeItem(KEY);
    }
  }
  $("token-button").hidden = mayWrite;
}

function setUpToken() {
  const dialog = $("token-dialog"), input = $("token-input"), error = $("token-error");
  $("token-button").addEventListener("click", () => {
    error.textContent = input.value = "";
    dialog.showModal();
    input.focus();
  });
  $("token-form").addEventListener("submit", async event => {
    if (!event.submitter || event.submitter.value !== "ok")
      return;
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    await openSession();
    if (mayWrite) {
      dialog.close();
      say("The token is accepted: this tab may start runs.");
      show();
    } else {
      error.textContent = "This is not the token of this server.";
    }
  });
}

// ---- texts

const percent = v => Number.isFinite(v) ? (100 * v).toFixed(1) + " %" : "–";
const decimal = v => Number.isFinite(v) ? (v === 0 || Math.abs(v) >= 0.001 && Math.abs(v) < 1e5 ? String(Number(v.toPrecision(4))) : v.toExponential(2)) : "–";
const whole = v => Number.isFinite(v) ? Math.round(v).toLocaleString("en") : "–";
const when = seconds => seconds ? new Date(1000 * seconds).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "short"}) : "–";

function duration(seconds) {
  if (!Number.isFinite(seconds))
    return "–";
  const s = Math.round(seconds), two = n => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)} h` : s >= 60 ? `${Math.floor(s / 60)}:${two(s % 60)} min` : `${s} s`;
}

function bytes(n) {
  return n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}

const state = text => h("span", {class: "state " + text}, text);
const runLink = dir => h("a", {href: "#/run/" + encodeURIComponent(dir)}, dir);
const fact = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));
const whatWas = run => run.method ? `${run.verb}, ${run.method}` : run.verb || "";

function problem(e) {
  return h("div", {class: "notice bad", role: "alert"}, h("p", null, e.message), e.hint ? h("p", {class: "small"}, e.hint) : null);
}

// ---- the page that is shown: one stream and a few timers belong to it

let stream = null, timers = [], page = 0;

function leave() {
  if (stream)
    stream.close();
  stream = null;
  timers.forEach(clearInterval);
  timers = [];
}

function follow(dir, on) {
  const source = new EventSource("/api/stream" + (dir ? "?dir=" + encodeURIComponent(dir) : ""));
  stream = source;
  for (const [name, fn] of Object.entries(on))
    source.addEventListener(name, event => {
      let value;
      try {
        value = JSON.parse(event.data);
      } catch {
        return; // a damaged line of a file
      }
      fn(value);
    });
  source.addEventListener("queue", event => countJobs(JSON.parse(event.data)));
}

function countJobs(queue) {
  const n = queue.jobs.filter(j => j.state === "running" || j.state === "queued").length, badge = $("n-jobs");
  badge.hidden = n === 0;
  badge.textContent = n;
  badge.setAttribute("aria-label", `, ${n} open`);
}

function put(title, ...children) {
  const heading = h("h1", {tabIndex: -1}, title);
  document.title = title + " – lethe";
  $("main").replaceChildren(heading, ...children.flat(9).filter(Boolean));
  return heading;
}

// ---- runs

async function showRuns(mine) {
  const info = await get("/api/info"), chosen = new Set();
  const filter = h("input", {type: "search", id: "filter", placeholder: "name, method, data", autocomplete: "off", oninput: draw});
  const compare = h("button", {type: "button", class: "primary", onclick: () => { location.hash = "#/compare/" + [...chosen].map(encodeURIComponent).join("/"); }}, "Compare");
  const count = h("p", {class: "soft small"}), holder = h("div", {class: "card"});
  let runs = [];
  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter(r => words.every(w => `${r.dir} ${whatWas(r)} ${r.data} ${r.model} ${r.state}`.toLowerCase().includes(w)));
    compare.disabled = chosen.size < 2;
    compare.textContent = chosen.size ? `Compare ${chosen.size}` : "Compare";
    count.textContent = `${shown.length} of ${runs.length} runs` + (chosen.size ? `, ${chosen.size} chosen` : "");
    if (!runs.length) {
      holder.replaceChildren(h("p", null, "No runs yet. "), h("p", null, h("a", {href: "#/train"}, "Train a model"), " here, or with ", h("code", null, `lethe train --out ${info.root}/NAME`), "."));
      return;
    }
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.run : null;
    holder.replaceChildren(h("table", {class: "stack"},
      h("thead", null, h("tr", null, h("th", null, "Choose"), h("th", null, "Run"), h("th", null, "What"), h("th", null, "State"), h("th", {class: "number"}, "Test"), h("th", {class: "number"}, "Forget"), h("th", null, "Started"))),
      h("tbody", null, shown.map(r => h("tr", null,
        h("td", {class: "pick"}, h("input", {type: "checkbox", checked: chosen.has(r.dir), "aria-label": `choose ${r.dir}`, "data-run": r.dir, onchange: e => { e.target.checked ? chosen.add(r.dir) : chosen.delete(r.dir); draw(); }})),
        h("th", {scope: "row"}, runLink(r.dir)),
        h("td", null, whatWas(r), r.model ? h("div", {class: "soft small"}, r.model) : null),
        h("td", null, state(r.state)),
        h("td", {class: "number", "data-label": "Test accuracy"}, Number.isFinite(r.test_acc) ? percent(r.test_acc) : ""),
        h("td", {class: "number", "data-label": "Forget accuracy"}, Number.isFinite(r.forget_acc) ? percent(r.forget_acc) : ""),
        h("td", {class: "small soft"}, r.started ? when(Date.parse(r.started) / 1000) : ""))))));
    const again = focused ? [...holder.querySelectorAll("input")].find(e => e.dataset.run === focused) : null;
    if (again)
      again.focus();
  }
  async function load() {
    const found = (await get("/api/runs")).runs.sort((a, b) => (b.started || "").localeCompare(a.started || "") || a.dir.localeCompare(b.dir));
    if (mine !== page || JSON.stringify(found) === JSON.stringify(runs))
      return;
    runs = found;
    draw();
  }
  runs = null;
  const first = (await get("/api/runs")).runs.sort((a, b) => (b.started || "").localeCompare(a.started || "") || a.dir.localeCompare(b.dir));
  if (mine !== page)
    return;
  runs = first;
  put("Runs", h("div", {class: "tools"}, h("div", {class: "field"}, h("label", {htmlFor: "filter"}, "Filter"), filter), compare), count, holder);
  draw();
  follow(null, {queue: () => load().catch(() => {})});
  timers.push(setInterval(() => { if (!document.hidden) load().catch(() => {}); }, 5000));
}

// ---- one run

const hasEpoch = m => Number.isFinite(m.epoch);
const curve = (metrics, key) => metrics.filter(m => hasEpoch(m) && Number.isFinite(m[key])).map(m => [m.epoch, m[key]]);

function drawCurves(metrics, loss, accuracy) {
  const losses = [{name: "training loss", colour: 1, dash: 1, points: curve(metrics, "loss")}, {name: "test loss", colour: 2, dash: 2, points: curve(metrics, "test_loss")}];
  const accuracies = [{name: "training accuracy", colour: 1, dash: 1, points: curve(metrics, "train_acc")}, {name: "test accuracy", colour: 2, dash: 2, points: curve(metrics, "test_acc")}];
  for (const [holder, title, series, format] of [[loss, "Loss", losses, decimal], [accuracy, "Accuracy", accuracies, v => `${Number((100 * v).toFixed(1))} %`]]) {
    const used = series.filter(s => s.points.length), chart = lineChart(title, used, format, "epoch");
    holder.replaceChildren(h("h2", null, title), chart || h("p", {class: "soft"}, "Nothing is measured yet."), chart ? legend(used) : "");
  }
}

// What was requested, not what was left at its default.
function givenOptions(resolved) {
  return Object.entries(resolved || {}).filter(([, o]) => o && o.origin && o.origin !== "default" && o.value !== null && o.value !== "");
}

function remaining(p) {
  const left = p.total - p.done, rate = p.unit === "images" && p.images_per_s > 0 ? p.images_per_s : p.done / p.wall_s;
  return p.total > 0 && rate > 0 ? left / rate : NaN;
}

async function waitForRun(dir, mine) {
  for (;;) {
    try {
      return await get("/api/run?dir=" + encodeURIComponent(dir));
    } catch (e) {
      const job = e.code === 404 ? (await get("/api/queue")).jobs.find(j => j.place === dir && (j.state === "queued" || j.state === "running")) : null;
      if (!job)
        throw e;
      if (mine !== page)
        return null;
      put(dir, h("div", {class: "card"}, h("p", null, state(job.state), " ", job.state === "queued" ? "It waits in the queue." : "The run is about to begin."), h("a", {href: "#/queue"}, "Queue")));
      await new Promise(resolve => setTimeout(resolve, 700));
      if (mine !== page)
        return null;
    }
  }
}

async function showRun(mine, dir) {
  const [run, info] = [await waitForRun(dir, mine), await get("/api/info")];
  const records = run && run.state === "done" ? await recordsOf((run.result || {}).model_digest) : [];
  if (!run || mine !== page)
    return;
  const metrics = run.metrics, badge = h("span"), bar = h("progress", {"aria-label": "progress"}), progressText = h("p", {class: "small soft"});
  const live = h("section", {class: "card", "aria-label": "Progress", hidden: true}, bar, progressText, h("dl", {class: "facts"}));
  const numbers = live.querySelector("dl"), result = h("section", {class: "card"}), loss = h("section", {class: "card"}), accuracy = h("section", {class: "card"});
  const actions = h("div", {class: "buttons"});
  let now = run.state, progress = run.progress || null, job = null;

  function drawState() {
    badge.replaceChildren(state(now));
    live.hidden = now !== "running";
  }
  function drawLive() {
    const last = metrics.filter(hasEpoch).at(-1) || {}, p = progress || {};
    if (p.total > 0) {
      bar.max = p.total;
      bar.value = p.done;
      progressText.textContent = `${(100 * p.done / p.total).toFixed(0)} %, ${whole(p.done)} of ${whole(p.total)} ${p.unit}`;
    }
    numbers.replaceChildren(
      fact("Epoch", Number.isFinite(p.epoch) && p.epoch >= 0 ? whole(p.epoch + 1) : whole(last.epoch)), fact("Loss", decimal(p.loss ?? last.loss)),
      fact("Training accuracy", percent(p.acc ?? last.train_acc)), fact("Test accuracy", percent(last.test_acc)),
      fact("Rate", `${whole(p.images_per_s ?? last.images_per_s)} /s`), fact("Remaining", duration(remaining(p))));
  }
  function drawResult() {
    const r = run.result || {}, rows = [];
    const add = (name, value, format) => { if (Number.isFinite(value)) rows.push(fact(name, format(value))); };
    add("Test accuracy", r.test_acc, percent);
    add("Forget accuracy", r.forget_acc, percent);
    add("Retain accuracy", r.retain_acc, percent);
    add("Training accuracy", r.train_acc, percent);
    add("Test loss", r.test_loss, decimal);
    add("Forgotten samples", r.n_forget, whole);
    add("Parameter change (L2)", r.delta_norm_l2, decimal);
    add("Time", r.wall_s, duration);
    result.hidden = !rows.length;
    result.replaceChildren(h("h2", null, "Result"), h("dl", {class: "facts"}, rows));
  }
  function drawActions() {
    const act = (path, text, said, danger) => h("button", {type: "button", class: danger ? "danger" : "", onclick: async () => {
      try { await post(path, {id: job.id}); say(said); } catch (e) { say(e.message); }
    }}, text);
    const key = [now, job && job.id, job && job.state, job && job.stopping, mayWrite].join();
    if (actions.dataset.key === key)
      return;
    actions.dataset.key = key;
    actions.replaceChildren(...[
      now === "done" ? h("a", {class: "button primary", href: "#/request/" + encodeURIComponent(dir)}, "Forget samples of this model") : null,
      now === "done" && mayWrite ? h("button", {type: "button", onclick: () => makeReport([dir])}, "Make a report") : null,
      job && job.state === "running" && mayWrite ? act("/api/queue/cancel", job.stopping ? "Stopping…" : "Interrupt", "The run is interrupted as soon as it has written a checkpoint.", true) : null,
      job && job.state === "stopped" && mayWrite ? act("/api/queue/again", "Go on", "The run is queued again.") : null].filter(Boolean));
  }
  const options = givenOptions(run.resolved);
  const facts = [["What", whatWas(run)], ["Model", run.model], ["Data", run.data], ["Forgets", run.forget], ["Started", run.started ? when(Date.parse(run.started) / 1000) : null], ["Seed", run.seed]].filter(f => f[1] !== undefined && f[1] !== null && f[1] !== "");
  put(dir, h("p", {class: "row"}, badge, run.parent ? h("span", {class: "soft"}, "made from ", h("span", {class: "mono"}, run.parent)) : null), live, result, actions,
    h("div", {class: "grid"}, loss, accuracy),
    h("section", {class: "card"}, h("h2", null, "Run"), h("dl", {class: "facts plain"}, facts.map(f => fact(f[0], String(f[1]))), records.length ? fact("Records", records.map((r, i) => [i ? ", " : "", recordLink(r)])) : null),
      options.length ? h("details", null, h("summary", null, `Options that were given (${options.length})`), h("div", {class: "scroll"}, h("table", null, h("tbody", null, options.map(([k, o]) => h("tr", null, h("th", {scope: "row", class: "mono"}, k), h("td", {class: "mono"}, String(o.value)), h("td", {class: "soft small"}, o.origin))))))) : null,
      h("details", null, h("summary", null, "Digests and machine"), h("pre", {tabIndex: 0}, JSON.stringify({...run.env, model_digest: run.result && run.result.model_digest, forget_digest: run.result && run.result.forget_digest}, null, 1)))),
    run.n_forget ? forgottenSection(dir, info) : null);
  drawState();
  drawLive();
  drawResult();
  drawActions();
  drawCurves(metrics, loss, accuracy);
  let pending = null;
  const redraw = () => { pending = pending || setTimeout(() => { pending = null; if (mine === page) { drawLive(); drawCurves(metrics, loss, accuracy); } }, 120); };
  follow(dir, {
    metric: m => { metrics.push(m); redraw(); },
    progress: p => { progress = p; redraw(); },
    state: async text => {
      const before = now;
      now = text;
      drawState();
      drawActions();
      if (before && before !== text)
        say(`${dir} is ${text}.`);
      if (text === "done") {
        const final = await get("/api/run?dir=" + encodeURIComponent(dir));
        if (mine === page) {
          Object.assign(run, final);
          drawResult();
          stream.close();
        }
      }
    },
    queue: q => { job = q.jobs.filter(j => j.place === dir).at(-1) || null; drawActions(); }});
  stream.addEventListener("open", () => { metrics.length = 0; });
}

// ---- forgotten images: pixels painted on canvases, only when somebody asks

function paint(canvas, base64, width, height) {
  const raw = atob(base64), context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = raw.charCodeAt(3 * i + c);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function forgottenSection(dir, info) {
  const body = h("div"), section = h("section", {class: "card"}, h("h2", null, "Forgotten images"), body);
  if (!info.with_images) {
    body.append(h("p", {class: "soft"}, "They are not shown: this server was started without ", h("code", null, "--with-images"), "."));
    return section;
  }
  async function load(from) {
    body.replaceChildren(h("p", {class: "soft"}, "Loading…"));
    let found;
    try {
      found = await get(`/api/forgotten?dir=${encodeURIComponent(dir)}&from=${from}`);
    } catch (e) {
      body.replaceChildren(problem(e));
      return;
    }
    const picture = (base64, label) => {
      const canvas = h("canvas", {width: found.w, height: found.h, role: "img", "aria-label": label});
      paint(canvas, base64, found.w, found.h);
      return canvas;
    };
    body.replaceChildren(
      h("p", {class: "soft small"}, found.has_neighbours ? "Each with its adversarial neighbour, as this run has kept it." : "This run keeps no adversarial neighbours."),
      h("div", {class: "strip"}, found.items.map(i => h("figure", null,
        h("div", {class: "pair"}, picture(i.image, `forgotten image ${i.id}, ${i.class}`), i.neighbour ? picture(i.neighbour, `its neighbour, taken for ${i.neighbour_class}`) : null),
        h("figcaption", null, `${i.class}, ${i.name || "number " + i.id}`, i.neighbour ? h("div", null, `neighbour: ${i.neighbour_class}, distance ${i.distance.toFixed(2)}`) : null)))),
      h("div", {class: "buttons"}, found.from > 0 ? h("button", {type: "button", onclick: () => load(Math.max(0, found.from - found.per_page))}, "Before") : "", found.from + found.items.length < found.n ? h("button", {type: "button", onclick: () => load(found.from + found.per_page)}, "More") : ""));
  }
  body.append(h("p", null, "Shown on demand, to this tab alone."), h("button", {type: "button", onclick: () => load(0)}, "Show them"));
  return section;
}

// ---- comparison

async function showCompare(mine, ...dirs) {
  const runs = await Promise.all(dirs.map(d => get("/api/run?dir=" + encodeURIComponent(d))));
  if (mine !== page)
    return;
  const metrics = [["Test accuracy", "test_acc", percent], ["Forget accuracy", "forget_acc", percent], ["Retain accuracy", "retain_acc", percent], ["Training accuracy", "train_acc", percent], ["Test loss", "test_loss", decimal], ["Forgotten samples", "n_forget", whole], ["Parameter change (L2)", "delta_norm_l2", decimal], ["Images per second", "images_per_s", whole], ["Time", "wall_s", duration]]
    .filter(m => runs.some(r => Number.isFinite((r.result || {})[m[1]])));
  const values = (r, k) => { const o = (r.resolved || {})[k]; return o ? String(o.value ?? "") : "–"; };
  const given = new Set(runs.flatMap(r => givenOptions(r.resolved).map(o => o[0])));
  const matters = k => k !== "out" && (given.has(k) || runs.every(r => (r.resolved || {})[k])) && new Set(runs.map(r => values(r, k))).size > 1;
  const keys = [...new Set(runs.flatMap(r => Object.keys(r.resolved || {})))].filter(matters).sort();
  const head = first => h("thead", null, h("tr", null, h("th", null, first), runs.map(r => h("th", {class: "number", scope: "col"}, runLink(r.dir)))));
  const chart = (title, key, format) => {
    const series = runs.map((r, i) => ({name: r.dir, colour: i % 6 + 1, dash: Math.floor(i / 6) % 3 + 1, points: curve(r.metrics, key)})).filter(s => s.points.length);
    const made = lineChart(title, series, format, "epoch");
    return made ? h("section", {class: "card"}, h("h2", null, title), made, legend(series)) : null;
  };
  put("Comparison",
    h("p", {class: "soft"}, "Stored results side by side. A report adds audits, intervals and verdicts."),
    h("section", {class: "card"}, h("h2", null, "Results"), h("div", {class: "scroll", tabIndex: 0, role: "region", "aria-label": "Results"}, h("table", null, head("Metric"), h("tbody", null,
      h("tr", null, h("th", {scope: "row"}, "What"), runs.map(r => h("td", {class: "number"}, whatWas(r)))),
      h("tr", null, h("th", {scope: "row"}, "State"), runs.map(r => h("td", {class: "number"}, state(r.state)))),
      metrics.map(([name, key, format]) => h("tr", null, h("th", {scope: "row"}, name), runs.map(r => h("td", {class: "number"}, format((r.result || {})[key]))))))))),
    mayWrite ? h("div", {class: "buttons field"}, h("button", {type: "button", class: "primary", disabled: runs.some(r => r.state !== "done"), onclick: () => makeReport(dirs)}, "Make a report of these runs")) : null,
    h("div", {class: "grid"}, chart("Training loss", "loss", decimal), chart("Test accuracy", "test_acc", v => `${Number((100 * v).toFixed(1))} %`)),
    keys.length ? h("section", {class: "card"}, h("h2", null, "Settings that differ"), h("div", {class: "scroll", tabIndex: 0, role: "region", "aria-label": "Settings that differ"}, h("table", null, head("Option"), h("tbody", null, keys.map(k => h("tr", null, h("th", {scope: "row", class: "mono"}, k), runs.map(r => h("td", {class: "number mono"}, values(r, k))))))))) : null);
  follow(null, {});
}

async function makeReport(runs) {
  try {
    const made = await post("/api/queue", {kind: "report", runs});
    say(`The report is job ${made.id} of the queue; it appears under Reports.`);
    location.hash = "#/queue";
  } catch (e) {
    say(e.message + (e.hint ? ": " + e.hint : ""));
  }
}

// ---- reports

async function showReports(mine) {
  const {reports} = await get("/api/reports");
  if (mine !== page)
    return;
  reports.sort((a, b) => b.time - a.time);
  put("Reports", reports.length
    ? h("div", {class: "card"}, h("table", {class: "stack flush"}, h("thead", null, h("tr", null, h("th", null, "Report"), h("th", null, "Written"), h("th", {class: "number"}, "Size"))),
        h("tbody", null, reports.map(r => h("tr", null, h("th", {scope: "row"}, h("a", {href: "/report?path=" + encodeURIComponent(r.path)}, r.path)), h("td", null, when(r.time)), h("td", {class: "number small soft"}, bytes(r.bytes)))))))
    : h("div", {class: "card"}, h("p", null, "No reports yet. Choose runs and compare them, then make a report.")));
  let seen = null;
  follow(null, {queue: q => {
    const done = q.jobs.filter(j => j.verb === "report" && j.state === "done").length;
    if (seen !== null && done !== seen)
      show();
    seen = done;
  }});
}

// ---- forms

function field(label, control, hint) {
  const id = "f-" + label.toLowerCase().replace(/[^a-z]+/g, "-");
  control.id = id;
  if (hint)
    control.setAttribute("aria-describedby", id + "-hint");
  return h("div", {class: "field"}, h("label", {htmlFor: id}, label), control, hint ? h("p", {class: "hint", id: id + "-hint"}, hint) : null);
}

// Inputs for the options of a table; only those that were filled in count.
function optionFields(options) {
  const inputs = options.map(o => ({key: o.key, row: h("div", {class: "field"},
    h("label", {htmlFor: "o-" + o.key, class: "mono"}, o.key),
    o.values.length ? h("select", {id: "o-" + o.key, "aria-describedby": `o-${o.key}-hint`}, h("option", {value: ""}, `default (${o.default})`), o.values.map(v => h("option", {value: v}, v)))
                    : h("input", {id: "o-" + o.key, type: "text", placeholder: o.default, autocomplete: "off", "aria-describedby": `o-${o.key}-hint`}),
    h("p", {class: "hint", id: `o-${o.key}-hint`}, o.help))}));
  return {rows: inputs.map(i => i.row), read: () => Object.fromEntries(inputs.map(i => [i.key, i.row.querySelector("input, select").value.trim()]).filter(i => i[1] !== ""))};
}

const needsToken = () => h("div", {class: "notice warn"}, h("p", null, "This tab may only read. Open the address that ", h("code", null, "lethe serve"), " printed, or press “Read only” above and enter the token."));

async function submit(form, outcome, work) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach(b => { b.disabled = true; });
  try {
    await work();
  } catch (e) {
    outcome.replaceChildren(problem(e));
    say("");
  }
  buttons.forEach(b => { b.disabled = !mayWrite; });
}

async function showTrain(mine) {
  const known = await get("/api/methods");
  if (mine !== page)
    return;
  const data = h("input", {type: "text", required: true, autocomplete: "off", spellcheck: false, list: "kinds", placeholder: "cifar10"});
  const model = h("input", {type: "text", autocomplete: "off", spellcheck: false, list: "archs", placeholder: "resnet18"});
  const epochs = h("input", {type: "number", min: 0, max: 100000, placeholder: (known.train_options.find(o => o.key === "epochs") || {}).default});
  const seed = h("input", {type: "number", min: 0, placeholder: "1"}), name = h("input", {type: "text", autocomplete: "off", maxLength: 64, placeholder: "train-7"});
  const options = optionFields(known.train_options.filter(o => o.key !== "epochs")), outcome = h("div");
  const form = h("form", {class: "card", noValidate: false, onsubmit: event => {
    event.preventDefault();
    submit(form, outcome, async () => {
      const given = options.read();
      if (epochs.value !== "")
        given.epochs = epochs.value;
      const made = await post("/api/queue", {kind: "train", data: data.value.trim(), model: model.value.trim(), name: name.value.trim(), options: given, ...(seed.value === "" ? {} : {seed: Number(seed.value)})});
      say(`The training run is job ${made.id} of the queue.`);
      location.hash = "#/queue";
    });
  }},
    h("div", {class: "two"}, field("Data", data, "KIND[:PATH][,key=value…]; synthetic needs no files"), field("Model", model, "NAME[:key=value,…]"), field("Epochs", epochs), field("Seed", seed), field("Name", name, "of the new run; default: made of the number of the job")),
    h("datalist", {id: "kinds"}, known.data.map(d => h("option", {value: d.name}, d.title))), h("datalist", {id: "archs"}, known.models.map(m => h("option", {value: m.name}, m.title))),
    h("details", null, h("summary", null, "More options"), h("div", {class: "two"}, options.rows)),
    outcome, h("div", {class: "buttons"}, h("button", {type: "submit", class: "primary", disabled: !mayWrite}, "Queue the training run")));
  put("Train a model", mayWrite ? null : needsToken(), form);
  follow(null, {});
}

async function showRequest(mine, chosen) {
  const [{runs}, {methods}] = await Promise.all([get("/api/runs"), get("/api/methods")]);
  if (mine !== page)
    return;
  // Trained models first, then what was made from them; the newest of each first.
  const able = runs.filter(r => r.state === "done" && r.model && r.data).sort((a, b) => Boolean(a.method) - Boolean(b.method) || (b.started || "").localeCompare(a.started || ""));
  if (!able.length) {
    put("Forget samples", h("div", {class: "card"}, h("p", null, "There is no finished run whose model could forget. ", h("a", {href: "#/train"}, "Train one"), " or convert a checkpoint with ", h("code", null, "lethe convert"), ".")));
    follow(null, {});
    return;
  }
  const run = h("select", {required: true}, able.map(r => h("option", {value: r.dir, selected: r.dir === chosen}, `${r.dir} (${r.model}, ${r.data})`)));
  const method = h("select", {required: true, onchange: drawMethod}, methods.map(m => h("option", {value: m.name}, m.name)));
  const about = h("div", {class: "notice"}), more = h("details"), outcome = h("div", {"aria-live": "polite"});
  const list = h("textarea", {spellcheck: false, autocomplete: "off", placeholder: "cat/0017.png\ncat/00*.png\n4711"}), upload = h("input", {type: "file", accept: ".csv,.txt,text/plain,text/csv"});
  const classes = h("input", {type: "text", autocomplete: "off", placeholder: "3, or airplane,ship"}), draw = h("input", {type: "text", autocomplete: "off", value: "10%"});
  const retain = h("input", {type: "checkbox", checked: true}), name = h("input", {type: "text", autocomplete: "off", maxLength: 64, placeholder: "method-7"}), seed = h("input", {type: "number", min: 0, placeholder: "1"});
  upload.addEventListener("change", async () => { if (upload.files[0]) list.value = await upload.files[0].text(); });
  const kinds = {list: field("Samples", list, "One a line: index, file name, pattern with * ? [], or digest:HEX. A CSV with such a column works, too."), class: field("Classes", classes, "numbers or names, separated by commas"), random: field("Share or number", draw, "drawn without replacement: for experiments")};
  kinds.list.append(h("div", {class: "field"}, h("label", {htmlFor: "f-upload"}, "Or take them from a file"), upload));
  upload.id = "f-upload";
  const kind = () => form.querySelector("input[name=kind]:checked").value;
  const radio = (value, text) => h("label", {class: "choice"}, h("input", {type: "radio", name: "kind", value, checked: value === "list", onchange: () => drawKind()}), h("span", null, text));
  let options = {rows: [], read: () => ({})};
  function drawMethod() {
    const m = methods.find(x => x.name === method.value);
    about.replaceChildren(h("p", null, h("strong", null, m.title)), h("p", {class: "small"}, m.doc), m.whole_classes ? h("p", {class: "small"}, "It forgets whole classes only.") : "");
    options = optionFields(m.options);
    more.replaceChildren(h("summary", null, `Options of ${m.name} (${m.options.length})`), h("div", {class: "two"}, options.rows));
    more.hidden = !m.options.length;
  }
  function drawKind() {
    for (const [key, row] of Object.entries(kinds))
      row.hidden = key !== kind();
  }
  const read = () => ({run: run.value, method: method.value, forget_kind: kind(), forget: {list: list.value, class: classes.value.replace(/\s+/g, ""), random: draw.value.trim()}[kind()], use_retain: retain.checked, name: name.value.trim(), options: options.read(), ...(seed.value === "" ? {} : {seed: Number(seed.value)})});
  async function check() {
    say("Checking the request…");
    const f = await post("/api/queue/check", read());
    say("The request can be served.");
    const of = f.classes.map(c => `${c.n} of ${c.of} ${c.name}`).join(", ") + (f.more_classes ? ` and ${f.more_classes} more classes` : "");
    outcome.replaceChildren(h("div", {class: "notice" + (f.duplicates ? " warn" : "")},
      h("p", null, h("strong", null, `${whole(f.n_forget)} sample${f.n_forget === 1 ? "" : "s"} will be forgotten`), `: ${of}. ${whole(f.n_retain)} stay` + (f.n_before ? `, ${whole(f.n_before)} were forgotten before.` : ".")),
      f.duplicates ? h("p", null, `${whole(f.duplicates)} of them also lie among the samples that stay, pixel for pixel: forgetting an image is worth little while its copy stays.`) : ""));
  }
  const form = h("form", {class: "card", onsubmit: event => {
    event.preventDefault();
    const checking = event.submitter && event.submitter.value === "check";
    submit(form, outcome, checking ? check : async () => {
      const made = await post("/api/queue", {kind: "unlearn", ...read()});
      say(`The deletion request is job ${made.id} of the queue.`);
      location.hash = "#/queue";
    });
  }},
    field("Model of the run", run), h("fieldset", null, h("legend", null, "What must be forgotten"), radio("list", "Single samples"), radio("class", "Whole classes"), radio("random", "A random draw")), Object.values(kinds),
    field("Method", method), about, more, h("label", {class: "choice field"}, retain, h("span", null, "The method may use the samples that stay")),
    h("div", {class: "two"}, field("Name", name, "of the new run; default: made of the method and the number of the job"), field("Seed", seed)),
    outcome, h("div", {class: "buttons"}, h("button", {type: "submit", value: "check", disabled: !mayWrite}, "Check"), h("button", {type: "submit", class: "primary", disabled: !mayWrite}, "Queue the request")));
  put("Forget samples", mayWrite ? null : needsToken(), h("p", {class: "soft"}, "A copy of the model forgets; the run you choose stays as it is."), form);
  drawMethod();
  drawKind();
  follow(null, {});
}

// ---- queue

async function showQueue(mine) {
  const info = await get("/api/info"), list = h("ul", {class: "jobs"}), none = h("div", {class: "card"}, h("p", null, "Nothing is queued. ", h("a", {href: "#/train"}, "Train a model"), " or ", h("a", {href: "#/request"}, "request a deletion"), "."));
  const items = new Map();
  if (mine !== page)
    return;
  put("Queue", h("p", {class: "soft"}, info.jobs === 1 ? "One job runs at a time." : `Up to ${info.jobs} jobs run at a time.`, " The queue outlives the server."), none, list);
  const before = new Map();
  async function readLog(log, id) {
    const text = log.querySelector("pre");
    if (log.open && log.isConnected)
      text.textContent = await get("/api/queue/log?id=" + id).catch(e => e.message) || "Nothing is written yet.";
  }
  timers.push(setInterval(() => {
    for (const [id, item] of items) {
      const log = item.querySelector("details");
      if (log && JSON.parse(before.get(id)).state === "running")
        readLog(log, id);
    }
  }, 2000));
  function fill(item, job) {
    const act = (path, text, said, danger, more) => h("button", {type: "button", class: danger ? "danger" : more || "", "data-act": path, onclick: async () => {
      try { await post(path, {id: job.id}); say(said); } catch (e) { say(e.message); }
    }}, text);
    const isReport = job.verb === "report", place = job.state === "queued" || job.state === "cancelled" ? h("span", {class: "mono"}, job.place) : isReport ? job.state === "done" ? h("a", {href: "/report?path=" + encodeURIComponent(job.place)}, "Open the report") : h("span", {class: "mono"}, job.place) : runLink(job.place);
    const log = h("details", null, h("summary", null, "Log"), h("pre", {tabIndex: 0}, "")), held = document.activeElement && item.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    log.addEventListener("toggle", () => readLog(log, job.id));
    item.replaceChildren(h("div", {class: "row spread"}, h("h2", null, `${job.id}. ${job.title}`), state(job.stopping ? "stopping" : job.state)),
      h("p", {class: "small soft"}, place, job.started ? `, started ${when(job.started)}` : `, queued ${when(job.created)}`, job.ended > job.started && job.started ? `, ${duration(job.ended - job.started)}` : ""),
      job.message ? h("p", {class: "error"}, job.message) : "", job.state === "queued" ? "" : log,
      mayWrite ? h("div", {class: "buttons"},
        job.state === "queued" ? act("/api/queue/cancel", "Cancel", `Job ${job.id} is cancelled.`, true) : "",
        job.state === "running" ? act("/api/queue/cancel", "Interrupt", `Job ${job.id} stops after its next checkpoint and can go on later.`, true) : "",
        job.state === "stopped" ? act("/api/queue/again", "Go on", `Job ${job.id} goes on.`) : "",
        job.state === "failed" || job.state === "cancelled" ? act("/api/queue/again", "Try again", `Job ${job.id} is queued again.`) : "",
        job.state !== "queued" && job.state !== "running" ? act("/api/queue/remove", "Remove from the list", `Job ${job.id} is removed from the list; what it made stays.`, false, "quiet") : "") : "");
    if (held)
      (item.querySelector("button") || item.querySelector("summary") || $("main")).focus();
  }
  follow(null, {queue: q => {
    none.hidden = q.jobs.length > 0;
    const ids = new Set(q.jobs.map(j => j.id));
    for (const [id, item] of items)
      if (!ids.has(id)) {
        const lost = item.contains(document.activeElement);
        item.remove();
        items.delete(id);
        if (lost)
          $("main").querySelector("h1").focus();
      }
    for (const job of [...q.jobs].reverse()) {
      const text = JSON.stringify(job);
      if (!items.has(job.id)) {
        items.set(job.id, h("li", {id: "job-" + job.id}));
        list.prepend(items.get(job.id));
      }
      if (before.get(job.id) && JSON.parse(before.get(job.id)).state !== job.state)
        say(`Job ${job.id}, ${job.title}, is ${job.state}.`);
      if (before.get(job.id) !== text)
        fill(items.get(job.id), job);
      before.set(job.id, text);
    }
    // An element that is put in again loses the focus, so only those out of place move.
    [...items.keys()].sort((a, b) => b - a).forEach((id, i) => {
      if (list.children[i] !== items.get(id))
        list.insertBefore(items.get(id), list.children[i] || null);
    });
  }});
}

// ---- routes

const pages = {runs: showRuns, run: showRun, compare: showCompare, reports: showReports, records: showRecords, record: showRecord, request: showRequest, train: showTrain, queue: showQueue};
const parent = {run: "runs", compare: "runs", record: "records"};

async function show() {
  const mine = ++page, [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const known = Object.hasOwn(pages, name) ? name : "runs";
  leave();
  for (const a of document.querySelectorAll("nav a")) {
    if (a.getAttribute("href") === "#/" + (parent[known] || known))
      a.setAttribute("aria-current", "page");
    else
      a.removeAttribute("aria-current");
  }
  try {
    await pages[known](mine, ...rest.map(decodeURIComponent));
  } catch (e) {
    if (mine === page)
      put("That did not work", problem(e), e.code === 401 ? needsToken() : null);
  }
  const heading = $("main").querySelector("h1");
  if (mine === page && heading && started)
    heading.focus({preventScroll: true});
  if (mine === page)
    scrollTo(0, 0);
  started = true;
}

let started = false;
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) {
    takeToken();
    openSession().then(show);
  } else {
    show();
  }
});
takeToken();
setUpToken();
openSession().then(show);
