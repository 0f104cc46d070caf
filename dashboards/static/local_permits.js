// Permits for hot work, as the people on the spot do them. What is missing and what may be done is the gateway's word.
import { asSomebody, deed, DISPLAY, duration, el, fill, fresh, in_words, lang, make, onView, person, say, shownUs, texts } from "/static/local.js";

const ENDED = new Set(["closed", "cancelled", "expired"]), heardAt = new Map(), open = new Set();
let view = null, sampled = null;
const round = (value, digits = 2) => String(Number(value.toFixed(digits)));
const time = (us) => new Date(us / 1000).toLocaleString(document.documentElement.lang, { hour12: false, month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
const known = (key, otherwise) => (key in texts ? texts[key] : otherwise);
const gas = (id) => (id ? known(`gas.${id}`, id) : "");
const countdown = (until, words, over = "") => make("time", { className: "left", "data-until": until, "data-words": say(words), ...(over ? { "data-over": say(over) } : {}) });
const pair = (label, ...what) => [make("dt", { text: label }), make("dd", {}, ...what)];

onView((next, anybody) => {
  view = next;
  const permits = next.permits ?? [];
  for (const permit of permits) for (const meter of permit.meters) heardAt.set(meter.point, meter.at_us);
  el("n-permits").textContent = permits.filter((permit) => !ENDED.has(permit.state)).length || "";
  const key = JSON.stringify([permits.map((permit) => ({ ...permit, meters: permit.meters.map(({ at_us, ...rest }) => rest) })), anybody, person()]);
  fill("permits", () => permits.length ? permits.map((permit) => card(permit, anybody)) : [make("li", { className: "empty", text: say("deed.permits.none") })], key);
  for (const node of document.querySelectorAll("[data-meter]")) {
    const at = heardAt.get(node.dataset.meter);
    node.textContent = at ? duration(shownUs() - at, texts) : "";
  }
});

function card(permit, anybody) {
  const over = ENDED.has(permit.state), wrong = permit.said.length || permit.meters.some((meter) => meter.high);
  const node = make("li", { className: `card permit ${wrong ? "critical" : permit.state === "working" ? "alarm" : ""} ${over ? "over" : ""}` });
  const head = make("div", { className: "line" }, make("b", { text: permit.id }), make("span", { className: "tag notice", text: say(`permit.state.${permit.state}`) }),
    make("span", { className: "tag", text: say(`permit.level.${permit.level}`) }));
  if (permit.state === "fire_watch") head.append(countdown(permit.fire_watch_until_us, "deed.watch_left", "deed.watch_over"));
  else if (!over && shownUs() < permit.starts_us) head.append(countdown(permit.starts_us, "deed.begins"));
  else if (!over) head.append(countdown(permit.ends_us, "deed.left"));
  node.append(head, make("div", { className: "place", text: [in_words(permit.zone), permit.spot, permit.work].filter(Boolean).join(" · ") }));
  if (permit.said.length) node.append(make("div", { className: "line" }, ...permit.said.map((title) => make("span", { className: "tag critical", text: in_words(title) }))));
  if (permit.missing.length) {
    node.append(make("ul", { className: "missing", "aria-label": say("deed.missing") }, ...permit.missing.map((what) => make("li", { text: in_words(what) }))));
  } else if (!over) node.append(make("p", { className: "fine", text: say("deed.missing.none") }));
  const facts = make("dl", { className: "facts" });
  facts.append(...pair(say("permit.time"), `${time(permit.starts_us)} – ${time(permit.ends_us)}`));
  if (permit.state === "suspended") facts.append(...pair(say("permit.state.suspended"), `${say("deed.paused")} `, make("time", { "data-since": permit.suspended_us })));
  facts.append(...pair(say("permit.workers"), permit.workers.join(lang === "zh" ? "、" : ", ")),
    ...pair(say("deed.watcher"), `${permit.watcher} `, make("span", { className: `tag ${permit.watched ? "good" : "warning"}`, text: say(permit.watched ? "permit.watched" : "permit.unwatched") })),
    ...pair(say("deed.sample"), ...sampleOf(permit)),
    ...pair(say("permit.limitname"), say("permit.limit", { vol: round(permit.limit_vol), lel: round(permit.limit_lel, 1) })),
    ...pair(say("deed.here"), ...(permit.meters.length ? permit.meters.map(meter) : [say("deed.here.none")])),
    ...pair(say("permit.signed"), [say("permit.by.applicant"), permit.signed[0], "·", say("permit.by.approver"), permit.signed[1] || "—", "·", say("permit.by.counter"), permit.signed[2] || "—"].join(" ")));
  node.append(facts);
  if (anybody && permit.acts.length) node.append(make("div", { className: "actions" }, ...permit.acts.map((act) => actButton(permit, act))));
  const story = make("details", {}, make("summary", { text: say("deed.story") }),
    make("ol", { className: "list" }, ...permit.story.map(([at, act, who]) => make("li", { text: `${time(at)} ${known(`permit.act.${act}`, act)} ${who}` }))));
  story.open = open.has(permit.id);
  story.addEventListener("toggle", () => { if (story.open) open.add(permit.id); else open.delete(permit.id); });
  story.querySelector("summary").dataset.key = `story:${permit.id}`;
  node.append(story);
  return node;
}
function sampleOf(permit) {
  const last = permit.sample;
  if (!last) return [make("span", { className: "bad", text: say("deed.sample.none") })];
  const words = [`${round(last.percent_vol, 3)} ${say("permit.percentvol")}`, last.percent_lel === null ? "" : `= ${round(last.percent_lel, 1)} %LEL`, gas(last.gas)].filter(Boolean).join(" ");
  const rest = [last.analyst, time(last.at_us), last.where].filter(Boolean).join(" · ");
  const out = [make("b", { className: last.fault.en ? "bad" : "", text: words }), ` · ${rest}`];
  if (last.fault.en) out.push(make("span", { className: "tag critical", text: in_words(last.fault) }));
  else if (["approved", "ready"].includes(permit.state)) out.push(" · ", countdown(last.valid_until_us, "deed.sample.good", "deed.sample.old"));
  return out;
}
function shownValue(meter) {
  if (typeof meter.value !== "number") return say(`local.quality.${meter.quality}`);
  return `${round(meter.value)} ${meter.unit in DISPLAY ? DISPLAY[meter.unit] : meter.unit}`.trim();
}
function meter(one) {
  const line = make("span", { className: "meter" }, `${in_words(one.place)} · ${in_words(one.name)} `,
    make("b", { className: one.high || typeof one.value !== "number" ? "bad" : "", text: shownValue(one) }), " ");
  if (one.high) line.append(make("span", { className: "tag critical", text: say("deed.high") }), " ");
  line.append(make("time", { className: "fine", "data-meter": one.point }));
  return line;
}
function actButton(permit, act) {
  const words = act.act === "sample" ? `${say("deed.sample")}…` : say(`deed.${act.act}`);
  const button = make("button", { type: "button", text: words, "aria-label": `${words} ${permit.id}`, className: ["start", "resume", "close"].includes(act.act) && !act.why_not.en ? "primary" : "" });
  button.dataset.key = `permit:${permit.id}:${act.act}`;
  button.dataset.act = act.act;
  if (act.why_not.en) { button.disabled = true; button.title = in_words(act.why_not); }
  button.addEventListener("click", () => asSomebody(() => (act.act === "sample" ? askSample(permit.id) : askAct(permit.id, act.act))));
  return button;
}

let doing = null;
function askAct(permit, act) {
  doing = { permit, act };
  el("deed-title").textContent = `${say(`deed.${act}`)} · ${permit}`;
  el("deed-ask").textContent = `${person()}: ${say(`deed.${act}.ask`)}`;
  el("deed-why").value = "";
  el("deed").showModal();
  el("deed-go").focus();
}
el("deed").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  el("deed").close();
  await deed("/api/permit", { ...doing, why: el("deed-why").value.trim(), request: fresh() }, say(`deed.${doing.act}`));
});
el("deed-cancel").addEventListener("click", () => el("deed").close());

function option(value, words) { const node = make("option", { text: words }); node.value = value; return node; }
function askSample(id) {
  const permit = view.permits.find((one) => one.id === id);
  if (!permit) return;
  sampled = permit;
  el("sample-title").textContent = `${say("deed.sample")} · ${id}`;
  const gases = Object.keys(permit.gases);
  el("sample-gas").replaceChildren(...(gases.length > 3 ? [option("", say("deed.gas.none"))] : []), ...gases.map((name) => option(name, `${gas(name)} (LEL ${permit.gases[name]} %)`)));
  const points = permit.meters.filter((one) => one.kind === "gas");
  el("sample-points").hidden = !points.length;
  el("sample-list").replaceChildren(...points.map((one) => {
    const button = make("button", { type: "button", text: say("deed.take"), "aria-label": `${say("deed.take")}: ${in_words(one.place)}` });
    button.disabled = one.quality !== "good" || typeof one.value !== "number";
    button.addEventListener("click", () => send({ point: one.point }));
    return make("li", {}, make("div", { className: "grow" }, `${in_words(one.place)} · ${in_words(one.name)} `, make("b", { text: shownValue(one) })), button);
  }));
  el("sample-value").value = ""; el("sample-where").value = ""; el("sample-ago").value = "0"; el("sample-verdict").textContent = "";
  el("sample").showModal();
}
async function send(more) {
  el("sample").close();
  await deed("/api/permit", { permit: sampled.id, act: "sample", gas: el("sample-gas").value, request: fresh(), ...more }, say("deed.sample"));
}
function judge() {
  const text = el("sample-value").value, lel = el("sample-unit").value === "lel", of = sampled.gases[el("sample-gas").value];
  el("sample-verdict").textContent = "";
  if (text === "" || (lel && !of)) return;
  const vol = lel ? Number(text) * of / 100 : Number(text), high = vol > sampled.limit_vol;
  el("sample-verdict").className = `outcome ${high ? "bad" : "ok"}`;
  el("sample-verdict").textContent = `${round(vol, 3)} ${say("permit.percentvol")}${of ? ` = ${round(100 * vol / of, 1)} %LEL` : ""}: ${say(high ? "permit.above" : "permit.below")}`;
}
for (const id of ["sample-value", "sample-unit", "sample-gas"]) el(id).addEventListener("input", judge);
el("sample").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send({ value: Number(el("sample-value").value), unit: el("sample-unit").value, where: el("sample-where").value.trim(), minutes_ago: Number(el("sample-ago").value) });
});
el("sample-cancel").addEventListener("click", () => el("sample").close());
