// The list of rules, metrics and recent events.

import { ago, byId, condition, eventItem, fill, follow, getJson, make, pill, withUnit, worst } from "/assets/common.js";

function ruleRow(rule) {
  const state = make("span");
  pill(state, rule.alerts);
  const firing = rule.alerts.find((alert) => alert.axis === worst(rule.alerts));
  const level = firing ? withUnit(firing.level, rule.unit_shown) : "–";
  return make("tr", {},
    make("td", {}, make("a", { href: `/board/${encodeURIComponent(rule.metric)}` }, rule.name), shadowText(rule)),
    make("td", {}, state),
    make("td", {}, condition(rule)),
    make("td", {}, rule.action_name || "–"),
    make("td", { class: "number" }, level));
}

/** What a rule that is a shadow would have done. */
function shadowText(rule) {
  if (rule.mode !== "shadow") return "";
  const fired = rule.shadow?.fired ?? 0;
  return ` (shadow, would have fired ${fired} ${fired === 1 ? "time" : "times"})`;
}

function metricRow(metric) {
  return make("tr", {},
    make("td", {}, make("a", { href: `/board/${encodeURIComponent(metric.name)}` }, metric.name)),
    make("td", {}, ago(metric.last)));
}

async function load() {
  const now = await getJson("/api/overview");
  byId("revision").textContent = now.revision ? `settings ${now.revision}` : "no settings yet";
  fill(byId("rules"), now.rules.map(ruleRow), byId("no-rules"));
  fill(byId("events"), now.events.map(eventItem), byId("no-events"));
  fill(byId("metrics"), now.metrics.map(metricRow), byId("no-metrics"));
}

/** Many changes in a burst are one reload. */
let due = null;
function soon() {
  due ??= setTimeout(() => { due = null; load().catch(() => {}); }, 250);
}

follow("/api/live", { open: soon, event: soon, changed: soon });
setInterval(soon, 15000);
