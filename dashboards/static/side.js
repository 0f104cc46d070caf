// What does not protect now, who is heard, what is missing, and the daily proof.
import { duration, shownUs } from "./shown_time.js";
import { words } from "./words.js";

const make = (kind, className = "", text = "") => {
  const node = document.createElement(kind);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
};
const ROWS = { impairments: impairment, gateways: gateway, gaps: gap, proofs: proof, duties: duty };
const ANSWERABLE = (d) => d.check.state === undefined || d.check.state === "asked";
export const dutiesOpen = (views) => views.filter(ANSWERABLE).length;

export function rowsOf(kind, entries, tools) {
  if (!entries?.length) return [make("li", "none", tools.say(`${kind}.none`))];
  if (kind === "impairments") return byDevice(entries).map((group) => impairment(group, tools));
  return entries.map((entry) => ROWS[kind](entry, tools));
}

function age(since, t, sayKey = "") {
  const node = make("time", "", duration(shownUs() - since, t));
  node.dataset.since = since;
  if (sayKey) node.dataset.say = sayKey;
  return node;
}

// A device with ten silent points is one device that does not protect: one row, the oldest lack first.
function byDevice(views) {
  const groups = new Map();
  for (const v of views) {
    const device = v.impairment.subject.replace(/^device:/, "").split(".")[0];
    const key = `${v.tenancy.site}/${device}`;
    if (!groups.has(key)) groups.set(key, { device, views: [] });
    groups.get(key).views.push(v);
  }
  return [...groups.values()];
}

export const impairedCount = (views) => byDevice(views).length;

function impairment({ device, views }, { say, name, t }) {
  const first = views.reduce((a, b) => (b.impairment.since_us < a.impairment.since_us ? b : a)), row = make("li");
  const named = views.find((v) => name(v.device_name) && !name(v.device_name).startsWith("device:")) ?? first;
  const kinds = [...new Set(views.map((v) => v.impairment.kind))];
  row.append(join(make("span", "bad", kinds.map((kind) => say(`impairment.${kind}`)).join(", ")),
    ` · ${name(named.device_name) ? `${name(named.device_name)} (${device})` : device}`));
  row.append(join(`${[name(first.site_name), name(named.zone_name)].filter(Boolean).join(" · ")} · `,
    age(first.impairment.since_us, t)));
  for (const v of views) {
    const i = v.impairment;
    if (i.who || i.compensation) row.append(make("span", "", [i.who, i.why, i.compensation].filter(Boolean).join(" · ")));
  }
  return row;
}

// Who must answer, by when, and how long is left; only a click of a signed-in person answers.
function duty(d, { say, name, t, answerDuty }) {
  const row = make("li"), c = d.check, open = ANSWERABLE(d), kind = c.state ?? "asked";
  row.className = "duty";
  row.append(make("span", open || ["failed", "unanswered"].includes(kind) ? "bad" : "", say(`duty.${d.answering && open ? "answering" : kind}`,
    { who: c.who || d.answering || "" })));
  row.append(make("span", "", [name(d.site_name), name(d.device_name), say("duty.asker", { asker: c.asker })].filter(Boolean).join(" · ")));
  const until = new Date(c.due_us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false });
  if (open) {
    const who = (d.must_answer ?? []).map((p) => `${p.name} ${p.phone ?? ""}`.trim()).join(", ") || say("duty.anyone");
    row.append(make("span", "", say("duty.must", { who, time: until })));
    const left = make("time", "bad left", say("duty.left", { left: duration(Math.max(0, c.due_us - shownUs()), t) }));
    left.dataset.until = c.due_us;
    row.append(left);
    if (d.refused) row.append(make("span", "bad", say("act.refused", { why: words(d.refused) })));
    const button = make("button", "primary", say("duty.answer"));
    button.type = "button"; button.dataset.duty = c.id; button.disabled = Boolean(d.answering);
    button.onclick = () => answerDuty(d);
    row.append(button);
  } else row.append(make("span", "", words(c.detail ?? "")));
  return row;
}

function gateway(g, { say, name, t }) {
  const row = make("li");
  row.append(make("span", "", `${name(g.site_name)} · ${g.gateway}`));
  const key = g.silent ? "gateway.silent" : "gateway.heard";
  const heard = age(g.heard_us, t, key);
  heard.textContent = say(key, { age: duration(shownUs() - g.heard_us, t) });
  if (g.silent) heard.className = "bad";
  row.append(heard);
  row.append(make("span", "", say("gateway.devices", { alive: g.devices_alive ?? 0, expected: g.devices_expected ?? 0 })));
  if (g.backlog) row.append(make("span", "", say("gateway.backlog", { count: g.backlog })));
  if (g.postponed) row.append(make("span", "bad", say("gateway.postponed", { count: g.postponed })));
  if (g.journal_ok === false) row.append(make("span", "bad", say("gateway.journal")));
  return row;
}

function gap(g, { say, t }) {
  const row = make("li"), ageText = duration(shownUs() - g.since_us, t);
  row.append(make("span", "", g.gateway));
  row.append(make("span", "bad", say("gap.row", { lane: say(`lane.${g.lane}`), first: g.first, last: g.last, age: ageText })));
  return row;
}

function proof(p, { say, t }) {
  const row = make("li");
  row.append(make("span", "", `${p.tenancy.site} · ${p.gateway}`));
  const tookMs = (p.arrived_us - p.raised_us) / 1000;
  const took = tookMs < 1000 ? `${Math.round(tookMs)} ms` : `${(tookMs / 1000).toFixed(1)} ${t["s"]}`;
  row.append(make("span", "", say("proof.row", { took, age: duration(shownUs() - p.arrived_us, t) })));
  return row;
}

function join(...parts) { const span = make("span"); span.append(...parts); return span; }
