// One metric: live chart, its rules, what happened.

import { byId, clock, condition, eventItem, eventTone, fill, follow, getJson, make, number, pill, runbookLink, withUnit } from "/assets/common.js";
import uPlot from "/assets/uplot.js";

const metric = decodeURIComponent(location.pathname.split("/").pop());
const WINDOWS = ["5m", "15m", "1h", "6h", "1d", "7d", "30d"];
const SECONDS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const LINES = ["p99", "p95", "p50", "mean"]; // the mean is drawn last, on top
const EVENTS_MAX = 200;

let span = new URLSearchParams(location.search).get("window") || "15m";
let history = null; // what /api/metric answered; its columns grow with live panes
let charts = [];

const seconds = (text) => [...text.matchAll(/(\d+)([smhdw])/g)].reduce((sum, [, n, unit]) => sum + n * SECONDS[unit], 0) || 900;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const stamp = (time) => new Date(time).getTime() / 1000;

function buttons() {
  fill(byId("windows"), WINDOWS.map((choice) => {
    const button = make("button", { type: "button", "aria-pressed": String(choice === span) }, choice);
    button.onclick = () => {
      span = choice;
      window.history.replaceState(null, "", `?window=${choice}`);
      load();
    };
    return button;
  }));
  const swatch = (name, text) => make("span", { style: `--swatch: var(--${name})` }, text);
  fill(byId("legend"), [...LINES.map((name) => swatch(name, name)), swatch("threshold", "threshold"), swatch("count", "samples per second")]);
}

/** Columns for uPlot: seconds, then the lines. */
function columns() {
  return [history.panes.start.map((millis) => millis / 1000), ...LINES.map((name) => history.panes[name])];
}

const thresholds = () => history.rules.filter((rule) => rule.share === null).map((rule) => rule.threshold);

const rates = () => [history.panes.start.map((millis) => millis / 1000), history.panes.count.map((count) => count / history.pane_seconds)];

/** What is drawn over the lines, within the chart's time: thresholds, times of firing, marks. */
function annotations(first, last) {
  const spans = history.firing.map(({ from, to }) => [stamp(from), to ? stamp(to) : Date.now() / 1000])
    .filter(([from, to]) => to >= first && from <= last);
  const marks = history.events.map((event) => ({ time: stamp(event.time), text: label(event), tone: eventTone(event) }))
    .filter(({ time, text }) => text && time >= first && time <= last);
  return { thresholds: thresholds(), spans, marks };
}

/** Thresholds lie across, firing time is shaded, ALERT, EXEC and RESOLVED stand as marks. */
function annotate(plot) {
  const { ctx, bbox } = plot;
  const x = (time) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, plot.valToPos(time, "x", true)));
  const drawn = annotations(plot.scales.x.min, plot.scales.x.max);
  ctx.save();
  ctx.fillStyle = colour("bad");
  ctx.globalAlpha = 0.13;
  for (const [from, to] of drawn.spans) {
    ctx.fillRect(x(from), bbox.top, Math.max(x(to) - x(from), 1), bbox.height);
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colour("threshold");
  ctx.setLineDash([8, 5]);
  for (const threshold of drawn.thresholds) {
    const height = plot.valToPos(threshold, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, height);
    ctx.lineTo(bbox.left + bbox.width, height);
    ctx.stroke();
  }
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  drawn.marks.forEach(({ time, text, tone }, row) => {
    ctx.strokeStyle = ctx.fillStyle = colour({ bad: "bad", good: "ok", act: "p99" }[tone] || "quiet");
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x(time), bbox.top);
    ctx.lineTo(x(time), bbox.top + bbox.height);
    ctx.stroke();
    const wide = ctx.measureText(text).width;
    const left = Math.min(x(time) + 4, bbox.left + bbox.width - wide - 2);
    ctx.fillText(text, left, bbox.top + (14 + 14 * (row % 4)) * devicePixelRatio);
  });
  ctx.restore();
  describe(drawn);
}

/** The same for who does not see a canvas: one line for each thing drawn. */
function describe({ thresholds, spans, marks }) {
  const at = (time) => clock(time * 1000);
  const line = (kind, text, place) => make("li", { "data-drawn": kind, "data-at": place }, text);
  const lines = [
    ...thresholds.map((value) => line("threshold", `threshold ${withUnit(value, history.unit)}`, value)),
    ...spans.map(([from, to]) => line("firing", `firing from ${at(from)} to ${at(to)}`, `${from} ${to}`)),
    ...marks.map(({ time, text }) => line(text, `${text} at ${at(time)}`, time)),
  ];
  byId("drawn").replaceChildren(...lines);
}

function label(event) {
  if (event.kind === "alert") return { fired: "ALERT", resolved: "RESOLVED" }[event.state];
  return ["succeeded", "failed", "timed_out", "unknown"].includes(event.state) ? "EXEC" : null;
}

const axis = (extra) => ({ stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, ...extra });

/** Clock times, with the day where the window is longer than one. */
function times(_, ticks) {
  const long = seconds(span) >= SECONDS.d;
  const day = (time) => new Date(time).toLocaleDateString([], { month: "short", day: "numeric" });
  return ticks.map((tick) => (long ? `${day(tick * 1000)} ` : "") + clock(tick * 1000, seconds(span) <= 900));
}

function range() {
  const now = Date.now() / 1000;
  return [now - seconds(span), now];
}

function draw() {
  charts.forEach((chart) => chart.destroy());
  byId("values").replaceChildren();
  byId("counts").replaceChildren();
  const width = byId("values").clientWidth || 300;
  const unit = history.unit;
  const line = (name, width = 1.5) => ({ label: name, stroke: colour(name), width, spanGaps: false, points: { show: false } });
  const sync = { key: metric };
  const values = new uPlot({
    width, height: 300, cursor: { sync }, legend: { show: false },
    scales: { x: { range }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, ...thresholds()) * 1.1 || 1] } },
    axes: [axis({ values: times, space: 80 }), axis({ size: 72, values: (_, ticks) => ticks.map((tick) => withUnit(tick, unit)) })],
    series: [{}, ...LINES.map((name) => line(name, name === "mean" ? 2.5 : 1.5))],
    hooks: { draw: [annotate] },
  }, columns(), byId("values"));
  const counts = new uPlot({
    width, height: 110, cursor: { sync }, legend: { show: false },
    scales: { x: { range }, y: { range: (_, low, high) => [0, (high ?? 1) * 1.15 || 1] } },
    axes: [axis({ values: times, space: 80 }), axis({ size: 72, values: (_, ticks) => ticks.map((tick) => `${number(tick)}/s`) })],
    series: [{}, { label: "count", stroke: colour("count"), fill: `${colour("count")}55`, paths: uPlot.paths.bars({ size: [0.9, 40] }), points: { show: false } }],
  }, rates(), byId("counts"));
  charts = [values, counts];
}

function redraw() {
  if (charts.length !== 2) return draw();
  charts[0].setData(columns());
  charts[1].setData(rates());
  byId("no-data").hidden = history.panes.start.length > 0;
}

function showNow() {
  const rules = history.rules;
  const alerts = rules.flatMap((rule) => rule.alerts);
  pill(byId("state"), alerts);
  const means = history.panes.mean;
  const last = means.length ? means[means.length - 1] : null;
  byId("level").textContent = withUnit(last, history.unit);
  byId("level-note").textContent = last === null ? "" : `mean of the last ${history.pane_seconds} s with samples, at ${clock(history.panes.start.at(-1))}`;
  fill(byId("events"), [...history.events].reverse().slice(0, EVENTS_MAX).map(eventItem), byId("no-events"));
  fill(byId("rules"), rules.length ? rules.map(ruleCard) : [make("p", { class: "empty" }, "No rule watches this metric.")]);
}

function ruleCard(rule) {
  const row = (name, value) => (value ? [make("dt", {}, name), make("dd", {}, value)] : []);
  const state = make("span");
  pill(state, rule.alerts);
  return make("dl", {}, ...row("rule", rule.name), ...row("state", state), ...row("fires when", condition(rule)),
    ...row("then", rule.action_name), ...row("tells", rule.notify.join(", ")), ...row("runbook", runbookLink(rule)));
}

async function load() {
  buttons();
  history = await getJson(`/api/metric/${encodeURIComponent(metric)}?window=${encodeURIComponent(span)}`);
  draw();
  redraw();
  showNow();
}

/** A live pane replaces the one it corrects, or is appended. */
function takePane(pane) {
  if (!history || history.pane_seconds !== pane.seconds) return;
  const { start } = history.panes;
  let place = start.length;
  while (place > 0 && start[place - 1] > pane.start) place -= 1;
  const replaces = place > 0 && start[place - 1] === pane.start;
  for (const name of Object.keys(history.panes)) {
    history.panes[name].splice(replaces ? place - 1 : place, replaces ? 1 : 0, pane[name]);
  }
  const oldest = Date.now() - seconds(span) * 1000;
  while (start.length && start[0] < oldest) Object.values(history.panes).forEach((column) => column.shift());
}

/** State, shading and marks come from one place, the answer of the server; many changes are one reload. */
let due = null;
function reload() {
  due ??= setTimeout(() => { due = null; load().catch(() => {}); }, 250);
}

byId("metric").textContent = metric;
document.title = `${metric} - HMS-OPS`;
let frame = null;
const later = () => { frame ??= requestAnimationFrame(() => { frame = null; if (history) { redraw(); showNow(); } }); };
follow(`/api/live?metric=${encodeURIComponent(metric)}`, {
  open: reload,
  pane: (pane) => { takePane(pane); later(); },
  event: (event) => { if (event.metric === metric) reload(); },
  changed: reload,
});
setInterval(later, 5000);
new ResizeObserver(() => charts.forEach((chart) => chart.setSize({ width: byId("values").clientWidth || 300, height: chart.height }))).observe(byId("values"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (history) { draw(); redraw(); } });
