// charts.js - line charts as SVG, made of elements; colours and type come from the style sheet.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const e = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes))
    e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// Round steps: 1, 2 or 5 times a power of ten, about n of them between low and high.
function ticks(low, high, n) {
  const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw)), part = raw / power;
  const step = power * (part > 7 ? 10 : part > 3.5 ? 5 : part > 1.5 ? 2 : 1), out = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step)
    out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}

function extent(series, pick) {
  let low = Infinity, high = -Infinity;
  for (const s of series)
    for (const p of s.points) {
      const v = p[pick];
      if (Number.isFinite(v)) {
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    }
  return low > high ? null : [low, high];
}

// series: [{name, colour 1-6, dash 1-3, points: [[x, y], ...]}]; format(y) -> text. Returns an SVG element, or null.
function lineChart(title, series, format, xName) {
  const W = Math.max(270, Math.min(520, innerWidth - 66)), H = W < 400 ? 210 : 250, left = 58, right = 14, top = 12, bottom = 40;
  const x = extent(series, 0), y = extent(series, 1);
  if (!x || !y)
    return null;
  if (x[1] === x[0]) { x[0] -= 1; x[1] += 1; }
  const pad = y[1] > y[0] ? 0.06 * (y[1] - y[0]) : Math.max(Math.abs(y[0]) * 0.1, 0.01);
  y[0] = y[0] >= 0 ? Math.max(0, y[0] - pad) : y[0] - pad;
  y[1] += pad;
  const px = v => left + (v - x[0]) / (x[1] - x[0]) * (W - left - right);
  const py = v => H - bottom - (v - y[0]) / (y[1] - y[0]) * (H - top - bottom);
  const last = series.filter(s => s.points.length).map(s => s.name + " " + format(s.points[s.points.length - 1][1])).join(", ");
  const chart = svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": `${title}; last values: ${last}`});
  for (const v of ticks(y[0], y[1], 4))
    chart.append(svg("line", {class: "axis", x1: left, x2: W - right, y1: py(v), y2: py(v)}),
                 svg("text", {x: left - 8, y: py(v) + 4, "text-anchor": "end"}, format(v)));
  for (const v of ticks(x[0], x[1], W < 400 ? 4 : 6).filter(Number.isInteger))
    chart.append(svg("text", {x: px(v), y: H - bottom + 18, "text-anchor": "middle"}, String(v)));
  chart.append(svg("text", {x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle"}, xName));
  for (const s of series) {
    const points = s.points.filter(p => Number.isFinite(p[1])).map(p => `${px(p[0]).toFixed(1)},${py(p[1]).toFixed(1)}`);
    if (points.length === 1) {
      const [cx, cy] = points[0].split(",");
      chart.append(svg("circle", {class: `line s${s.colour}`, cx, cy, r: 2}));
    } else if (points.length) {
      chart.append(svg("polyline", {class: `line s${s.colour} d${s.dash}`, points: points.join(" ")}));
    }
  }
  return chart;
}

function legend(series) {
  const list = document.createElement("ul");
  list.className = "legend";
  for (const s of series) {
    const item = document.createElement("li");
    item.append(svg("svg", {class: "chart", viewBox: "0 0 26 8", "aria-hidden": "true"},
                    svg("line", {class: `s${s.colour} d${s.dash}`, x1: 0, x2: 26, y1: 4, y2: 4})), s.name);
    list.append(item);
  }
  return list;
}
