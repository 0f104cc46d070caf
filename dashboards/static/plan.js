// The plan of the incident's floor: the device in alarm is lit, its neighbours show what they measure, how old it is
// and whether it can be believed. The table says the same in words.
import { ageOf, language, make, name, pathOf, say } from "./live.js";
import { unit } from "./plot.js";

const NS = "http://www.w3.org/2000/svg";
const OLD_US = 900e6; // telemetry comes at least every 5 minutes; thrice that is old
const svg = (kind, attributes = {}, text = "") => {
  const node = document.createElementNS(NS, kind);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  if (text) node.textContent = text;
  return node;
};
const LETTER = { smoke: "S", heat: "T", call_point: "!", gas: "G", co: "CO", climate: "T", air: "A", leak: "W", level: "L", pressure: "P",
  water_meter: "M", power_meter: "kW", camera: "▣", fire_panel: "FP", sounder: "♪", io_module: "IO", valve: "V", pump: "PU", door: "D" };

export function valueText(v) {
  if (v.value === null || v.value === undefined) return say(v.at_us ? `reason.${v.reason || "silent"}` : "reason.not_yet_read");
  if (typeof v.value === "boolean") return say(`value.${v.value}`);
  if (typeof v.value === "number") return `${Math.abs(v.value) >= 100 ? v.value.toFixed(0) : Number(v.value.toPrecision(3))} ${unit(v.unit)}`.trim();
  return String(v.value);
}
const trouble = (v, nowUs) => v.value === null || v.value === undefined || (v.quality && v.quality !== "good") || nowUs - v.at_us > OLD_US;

export function floorPlan(node, view, places, nowUs) {
  const book = places?.book, zones = zonesOf(view);
  const lit = new Set((view.alarms ?? []).filter((a) => ["raised", "held"].includes(a.state)).map((a) => a.device));
  const zone = places?.zones.find((z) => z.id === (view.zone || [...zones][0]));
  const plan = book?.plans.find((p) => zone && p.building === zone.building && p.floor === zone.floor);
  const live = byDevice(view.live ?? []);
  const parts = [];
  if (book && places.lacking) parts.push(make("p", "empty", say("plan.kept", { why: places.lacking })));
  if (plan) parts.push(drawing(plan, view, book, places, zones, lit, live, nowUs));
  else parts.push(make("p", "empty", say("plan.none", { why: places?.lacking || say("plan.notplaced") })));
  const floor = zone ? places.zones.filter((z) => z.building === zone.building && z.floor === zone.floor).map((z) => z.id) : [...zones];
  parts.push(table(places, floor, lit, live, nowUs));
  node.replaceChildren(...parts);
}

const zonesOf = (view) => new Set([view.zone, ...(view.alarms ?? []).map((a) => a.zone)].filter(Boolean));
function byDevice(live) {
  const found = new Map();
  for (const v of live) found.set(v.device, [...(found.get(v.device) ?? []), v]);
  return found;
}

function drawing(plan, view, book, places, zones, lit, live, nowUs) {
  const box = make("div", "plan-box");
  const picture = svg("svg", { viewBox: `0 0 ${plan.width} ${plan.height}`, class: "plan", role: "group" });
  picture.setAttribute("aria-label", say("sec.plan"));
  picture.append(svg("image", { href: `/plans/${pathOf(view.tenancy)}/${encodeURIComponent(plan.id)}`, width: plan.width, height: plan.height }));
  for (const one of book.zones.filter((z) => z.plan === plan.id)) {
    picture.append(svg("polygon", { points: one.outline.map((p) => p.join(",")).join(" "), class: zones.has(one.zone) ? "zone lit" : "zone" }));
  }
  for (const water of book.hydrants.filter((h) => h.plan === plan.id)) {
    const mark = svg("g", { transform: `translate(${water.x} ${water.y})`, class: "water-mark" });
    mark.append(svg("rect", { x: -16, y: -16, width: 32, height: 32, rx: 6 }), svg("text", { y: 7 }, "H"), svg("title", {}, name(water.name)));
    picture.append(mark);
  }
  const placed = book.devices.filter((d) => d.plan === plan.id);
  placed.sort((a, b) => Number(lit.has(a.device)) - Number(lit.has(b.device)));
  for (const one of placed) picture.append(marker(one, places, lit.has(one.device), live.get(one.device) ?? [], nowUs));
  box.append(picture);
  return box;
}

function marker(one, places, alarm, values, nowUs) {
  const device = places.devices.find((d) => d.id === one.device), first = best(values);
  const bad = !first || trouble(first, nowUs), text = first ? valueText(first) : "";
  const mark = svg("g", { transform: `translate(${one.x} ${one.y})`, class: `device${alarm ? " alarm" : ""}${bad ? " bad" : ""}`, role: "img", "data-device": one.device });
  const label = `${name(device?.place)} (${one.device}): ${alarm ? `${say("plan.alarm")}, ` : ""}${text || say("plan.notheard")}`;
  mark.setAttribute("aria-label", label);
  if (alarm) mark.append(svg("circle", { r: 46, class: "halo" }));
  mark.append(svg("circle", { r: 20 }), svg("text", { y: 6, class: "kind" }, LETTER[device?.kind] ?? "•"));
  const words = text.length > 14 ? `${text.slice(0, 13)}…` : text, width = 18 + 12 * [...words].reduce((n, c) => n + (c > "⺀" ? 1.75 : 1), 0);
  if (words) {
    const below = svg("g", { transform: "translate(0 44)" });
    below.append(svg("rect", { x: -width / 2, y: -17, width, height: 26, rx: 6, class: "plate" }), svg("text", { y: 3, class: "value" }, words));
    mark.append(below);
  }
  mark.append(svg("title", {}, label));
  return mark;
}
// What a number says goes before yes and no; what was heard before what was not.
const best = (values) => [...values].sort((a, b) => Number(b.value !== null && b.value !== undefined) - Number(a.value !== null && a.value !== undefined)
  || Number(typeof b.value === "number") - Number(typeof a.value === "number"))[0];

function table(places, floor, lit, live, nowUs) {
  const grid = make("table", "values");
  grid.append(make("caption", "", say("plan.table")));
  const head = make("tr");
  for (const key of ["plan.device", "plan.value", "plan.age"]) { const cell = make("th", "", say(key)); cell.scope = "col"; head.append(cell); }
  grid.append(make("thead", "", "", head));
  const body = make("tbody");
  const devices = (places?.devices ?? []).filter((d) => floor.includes(d.zone) && live.has(d.id));
  devices.sort((a, b) => Number(lit.has(b.id)) - Number(lit.has(a.id)));
  const named = new Map((places?.zones ?? []).map((z) => [z.id, name(z.name)]));
  for (const device of devices) for (const v of live.get(device.id)) {
    const row = make("tr", lit.has(device.id) ? "alarm" : ""), where = make("th"); where.scope = "row";
    where.append(`${named.get(v.zone) ?? v.zone} · ${name(v.name)}`);
    const cell = make("td", trouble(v, nowUs) ? "bad" : "", valueText(v)), when = make("td");
    if (v.at_us) when.append(ageOf(v.at_us), nowUs - v.at_us > OLD_US ? ` (${say("plan.old")})` : ""); else when.textContent = "—";
    row.append(where, cell, when); body.append(row);
  }
  grid.append(body);
  return body.children.length ? make("div", "table-box", "", grid) : make("p", "empty", say("readings.none"));
}
export { NS, language, svg };
