// What both pages share: fetching, formatting, the event list, the live connection.

export const byId = (id) => document.getElementById(id);

export async function getJson(url) {
  const answer = await fetch(url, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

/** Three significant digits below 100, whole numbers above: the same rule as the log lines. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return value.toPrecision(4).replace(/\.?0+e/, "e");
  if (size >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

export const withUnit = (value, unit) => (unit ? `${number(value)} ${unit}` : number(value));

export function clock(time, seconds = true) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (seconds) options.second = "2-digit";
  return new Date(time).toLocaleTimeString([], options);
}

export function ago(time) {
  if (!time) return "never";
  const seconds = Math.max(0, Math.round((Date.now() - new Date(time)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return new Date(time).toLocaleString();
}

/** An element with text or children; text is never read as markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const VERBS = {
  pending: "pending", fired: "ALERT", recovering: "recovering", fired_again: "in breach again",
  no_data: "no data", flapping: "flapping", resolved: "ALERT_RESOLVED", closed: "closed",
  acknowledged: "acknowledged", calm: "calm again", notice: "notice",
};

/** One line for an event, in the words of the log: the desk has put the numbers into words. */
export function eventLine(event) {
  if (event.kind === "alert") {
    const verb = VERBS[event.state] || event.state;
    const seen = event.reading ? ` ${event.reading}` : "";
    if (event.state === "resolved") return `${verb} ${event.metric} back${seen && ` to${seen}`}`;
    if (event.state === "fired") return `${verb} ${event.metric}${seen || " no data"}${event.limit ? ` (${event.limit})` : ""}`;
    return `${verb} ${event.metric}${seen}${event.detail ? `: ${event.detail}` : ""}`;
  }
  const why = [event.why, event.detail].filter(Boolean).join(": ");
  if (["succeeded", "failed", "timed_out", "unknown"].includes(event.state)) {
    return `EXEC ${event.script} → ${event.state === "succeeded" ? "success" : event.state.replace("_", " ")}${why ? ` (${why})` : ""}`;
  }
  return `rollback ${event.plan}: ${event.state.replaceAll("_", " ")}${why ? ` (${why})` : ""}`;
}

export function eventTone(event) {
  if (["fired", "fired_again", "no_data", "failed", "timed_out", "unknown", "not_recovered"].includes(event.state)) return "bad";
  if (["resolved", "recovered", "succeeded"].includes(event.state)) return "good";
  return event.kind === "rollback" ? "act" : "";
}

export function eventItem(event) {
  return make("li", { class: eventTone(event), "data-state": event.state },
    make("time", { datetime: event.time }, clock(event.time)), eventLine(event));
}

export function fill(list, items, empty) {
  list.replaceChildren(...items);
  if (empty) empty.hidden = items.length > 0;
}

/** The worst state among alerts, for the pill. */
export function worst(alerts) {
  const order = ["unknown", "ok", "pending", "recovering", "firing"];
  return alerts.map((alert) => alert.axis).reduce((a, b) => (order.indexOf(b) > order.indexOf(a) ? b : a), "unknown");
}

export function pill(element, alerts) {
  const state = worst(alerts);
  const data = alerts.find((alert) => alert.axis === state)?.data;
  element.className = `state ${state}`;
  element.textContent = data && data !== "fresh" && state !== "unknown" ? `${state}, ${data.replace("_", " ")}` : state;
}

/** Server-sent events, with the connection's state shown; the browser reconnects by itself. */
export function follow(url, handlers) {
  const source = new EventSource(url);
  const show = (text, on) => {
    byId("live").textContent = text;
    byId("live").className = `live ${on ? "on" : "off"}`;
  };
  source.onopen = () => { show("live", true); handlers.open?.(); };
  source.onerror = () => show("reconnecting", false);
  for (const name of ["pane", "event", "changed"]) {
    if (handlers[name]) source.addEventListener(name, (message) => handlers[name](JSON.parse(message.data || "null")));
  }
  return source;
}

export function condition(rule) {
  const stat = typeof rule.stat === "string" ? rule.stat : `p${rule.stat.percentile}`;
  const held = rule.for === "0s" ? "" : ` for ${rule.for}`;
  const what = rule.share === null ? `${stat} ${rule.compare} ${withUnit(rule.threshold, rule.unit_shown)}`
    : `share ${stat} ${withUnit(rule.threshold, rule.unit_shown)} ${rule.compare} ${rule.share}`;
  return `${what} over ${rule.window}${held}`;
}

export function runbookLink(rule) {
  if (!rule.runbook) return null;
  const web = /^https?:\/\//.test(rule.runbook);
  const href = web ? rule.runbook : `/runbook/${encodeURIComponent(rule.runbook.split("/").pop())}`;
  return make("a", { href, rel: "noreferrer" }, rule.runbook);
}
