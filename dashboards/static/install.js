// The installer's page on the gateway: works without internet. It asks each 2 s; deeds need the PIN.
import { meaningOf } from "./code_reader.js";
import { askCode } from "./install_code.js";
import { setPhrases, words as ours } from "./words.js";

const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const el = (id) => document.getElementById(id);
const say = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
// What the gateway says comes in both languages, "… / …", or in English: then its known words become the reader's.
const mine = (text) => {
  const at = text.lastIndexOf(" / ");
  if (at > 0 && /[\u4e00-\u9fff]/.test(text.slice(at))) return lang === "zh" ? text.slice(at + 3) : text.slice(0, at);
  return lang === "zh" ? ours(text) : text;
};
const words = (text) => (text ? text[lang] || text.en : "");
let texts = {}, view = null, csrf = "", role = "", found = [], draft = { devices: [], zones: [], lines: [] }, chosen = "", after = null;

function make(tag, options = {}, ...children) {
  const { className, text, on, ...attributes } = options;
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (on) node.addEventListener("click", on);
  node.append(...children.filter(Boolean));
  return node;
}
function told(text, bad = true) { el("said").hidden = !text; el("said").className = `banner ${bad ? "bad" : "drill"}`; el("said").textContent = text; }
async function post(path, body, raw = false) {
  if (!csrf) { after = null; signIn(); return { refusal: say("install.sign") }; }
  try {
    const response = await fetch(`/api/install/${path}`, { method: "POST", cache: "no-store", body: raw ? body : JSON.stringify(body),
      headers: { "content-type": raw ? "image/jpeg" : "application/json", "x-tocsin": "local", "x-tocsin-csrf": csrf } });
    const answer = await response.json();
    if (answer.refusal === "role") return { refusal: say("local.role") };
    if (answer.refusal === "session") { csrf = ""; signIn(); return { refusal: say("local.session_over") }; }
    return answer.refusal ? { refusal: mine(answer.refusal) } : answer;
  } catch { return { refusal: say("install.failed") }; }
}
async function who() {
  try {
    const session = await (await fetch("/api/session", { cache: "no-store" })).json();
    csrf = session.csrf; role = session.role; el("who").textContent = session.who ? say("local.signed_in", { who: `${session.who} · ${say(`install.role.${role}`)}` }) : "";
    el("people-box").hidden = role !== "property"; el("undo").disabled = role === "contractor"; el("accept-box").hidden = role === "contractor";
    if (role === "property") people({});
    el("sign").hidden = Boolean(session.who);
  } catch { told(say("install.failed")); }
}
function signIn() { el("pin-wrong").textContent = ""; if (!el("pin").open) el("pin").showModal(); }
async function enter(event) {
  event.preventDefault();
  const response = await fetch("/api/sign-in", { method: "POST", body: JSON.stringify({ name: el("pin-name").value, pin: el("pin-pin").value }), headers: { "content-type": "application/json", "x-tocsin": "local" } });
  const answer = await response.json();
  if (response.ok) { el("pin").close(); told(""); await who(); if (after) await after(); }
  else el("pin-wrong").textContent = say(answer.refusal === "locked" ? "local.pin.locked" : "local.pin.wrong", answer);
  el("pin-pin").value = "";
}

// A list is rebuilt only when it changed and nobody types in it.
const shown = {};
function fill(id, key, nodes) {
  if (shown[id] === key || (el(id).contains(document.activeElement) && ["INPUT", "SELECT"].includes(document.activeElement.tagName))) return;
  shown[id] = key;
  const label = document.activeElement && el(id).contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  el(id).replaceChildren(...nodes());
  if (label) [...el(id).querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === label)?.focus();
}
async function network() {
  try {
    const checks = await (await fetch("/api/install/network", { cache: "no-store" })).json();
    if (!Array.isArray(checks)) return;
    fill("network", JSON.stringify(checks), () => checks.map((one) => make("li", { className: `card ${one.state === "bad" ? "critical" : one.state === "doubt" ? "warning" : ""}` },
      make("div", { className: one.state === "ok" ? "good" : "", text: words(one.what) }), words(one.remedy) ? make("div", { className: "more", text: words(one.remedy) }) : null)));
  } catch { told(say("install.failed")); }
}
async function look() {
  try {
    const answer = await (await fetch("/api/install", { cache: "no-store" })).json();
    if (answer.refusal) { told(answer.refusal); return; }
    view = answer;
  } catch { told(say("install.failed")); return; }
  el("site").textContent = words(view.site); el("down").hidden = view.running;
  const claim = view.claim;
  fill("claim", JSON.stringify([claim.gateway, claim.code, Math.ceil(claim.left_s / 60)]), () => claim.gateway ? [make("p", { className: "good", text: say("install.claim.done", { gateway: claim.gateway }) })]
    : claim.code ? [make("img", { src: `data:image/svg+xml;base64,${btoa(claim.qr)}`, alt: claim.code }), make("p", { className: "big", text: claim.code }), make("p", { className: "fine", text: say("install.claim.show", { cloud: claim.cloud, minutes: Math.ceil(claim.left_s / 60) }) })]
      : [make("p", { text: say("install.claim.none") })]);
  fill("targets", JSON.stringify(view.lines), () => view.lines.map((line) => make("option", { value: line.target })));
  if (!el("target").value && view.lines.length) { el("target").value = view.lines[0].target; el("kind").value = view.lines[0].kind; }
  const floors = [...new Set(view.zones.map((zone) => zone.floor))];
  fill("floor", JSON.stringify([floors, view.zones.length]), () => floors.map((floor) => new Option(view.zones.filter((zone) => zone.floor === floor).map((zone) => words(zone.name)).join("、"), floor)));
  fill("live", JSON.stringify(view.devices.map((d) => [d.id, d.value, d.quality])), () => view.devices.map(live));
  fill("walk", JSON.stringify([view.devices.map((d) => [d.id, d.walk, d.testable]), view.steps, Math.floor(view.at_us / 5e6)]), () => view.devices.filter((d) => d.testable).map(walk));
  fill("lock", JSON.stringify([view.outputs, view.steps]), () => view.outputs.length ? view.outputs.map(lock) : [make("li", { className: "empty", text: say("install.interlock.none") })]);
  fill("versions", JSON.stringify(view.versions), () => [...view.versions].reverse().map((one) => make("li", { className: "card" }, make("div", { className: "line" }, make("b", { text: `#${one.number} ${one.who}` }), make("span", { className: "more", text: new Date(one.at_us / 1000).toLocaleString(document.documentElement.lang, { hour12: false }) })), make("div", { className: "more", text: one.why }),
    make("button", { type: "button", text: "±", "aria-label": `± #${one.number}`, on: () => difference(one.number) }))));
  accepted(); plan();
}
const live = (d) => make("li", { className: "card" }, make("div", { className: "line" }, make("b", { className: "grow", text: `${words(d.place) || d.id}` }), make("span", { className: `tag ${d.quality === "good" ? "good" : "warning"}`, text: d.quality === "good" ? say("link.live") : say("install.live.none") })),
  make("div", { className: "more", text: `${d.id} · ${words(d.shown) || d.value || "—"}` }));

// --- scan and place
async function scan(event) {
  event.preventDefault();
  el("scan-go").disabled = true; el("scan-said").className = "outcome"; el("scan-said").textContent = say("install.scan.running");
  const answer = await post("scan", { kind: el("kind").value, target: el("target").value, units: el("units").value });
  el("scan-go").disabled = false;
  if (answer.refusal) { el("scan-said").className = "outcome wrong"; el("scan-said").textContent = say("install.scan.refused", { why: answer.refusal }); return; }
  found = answer; el("scan-said").textContent = found.length ? `${say("install.found")}: ${found.length}` : say("install.scan.none");
  el("found").replaceChildren(...found.map(device));
}
function field(label, input) { return make("label", { text: label }, input); }
function device(one, n) {
  const id = make("input", { value: one.known || one.suggested, maxlength: 40, spellcheck: "false" }), profile = make("select");
  const rest = view.profiles.filter((name) => !one.matches.some((match) => match.profile === name));
  for (const match of one.matches) profile.append(new Option(`${match.profile} · ${Math.round(match.score * 100)} %`, match.profile));
  if (!one.matches.length) profile.append(new Option(say("install.noprofile"), ""));
  for (const name of rest) profile.append(new Option(name, name));
  const zone = make("select");
  for (const place of [...view.zones.map((z) => [z.id, words(z.name)]), ...draft.zones.map((z) => [z.id, z.name_zh])]) zone.append(new Option(place[1], place[0]));
  const place = make("input", { maxlength: 80 }), serial = make("input", { maxlength: 80 });
  const button = make("button", { type: "button", className: "primary", text: say("install.add"), "aria-label": `${say("install.add")} ${one.suggested}`, on: () => {
    if (!profile.value) { profile.focus(); return; }
    if (!view.lines.some((line) => line.id === one.line) && !draft.lines.some((line) => line.id === one.line)) draft.lines.push({ id: one.line, kind: one.kind, target: one.target, baud: one.baud, parity: one.parity });
    const at = place.value.trim();
    draft.devices = [...draft.devices.filter((d) => d.id !== id.value), { id: id.value.trim(), profile: profile.value, line: one.line, zone: zone.value, unit: one.unit, address: one.address, place_zh: at, place_en: at, serial: serial.value.trim() }];
    button.textContent = "✓"; button.disabled = true; plan();
  } });
  const code = make("button", { type: "button", text: say("install.code"), "aria-label": `${say("install.code")} ${one.suggested}`, on: async () => {
    const text = await askCode(say);
    if (!text) return;
    const means = meaningOf(text, view.path, view.devices);
    told(means.foreign ? say("install.code.foreign", { path: means.foreign }) : "");
    if (means.device) id.value = means.device;
    if (means.serial) serial.value = means.serial.slice(0, 80);
    button.focus();
  } });
  return make("li", {}, make("h3", { text: `${one.unit ? `#${one.unit}` : one.address} ${one.says}` }), one.known ? make("p", { className: "fine", text: say("install.known", { id: one.known }) }) : null,
    make("p", { className: "fine", text: one.matches.length ? words(one.matches[0].why) : say("install.noprofile") }),
    make("div", { className: "two" }, field(say("install.name"), id), field(say("install.profile"), profile), field(say("install.zone"), zone), field(say("install.place"), place), field(say("install.serial"), serial)), make("div", { className: "buttons" }, button, code));
}
function zone() {
  const id = el("zone-id").value.trim(), name = el("zone-name").value.trim();
  if (!id || !name) { el("zone-id").focus(); return; }
  draft.zones.push({ id, name_zh: name, name_en: name }); el("zone-id").value = el("zone-name").value = "";
  el("found").replaceChildren(...found.map(device)); save(true);
}
const moved = (id) => draft.devices.find((d) => d.id === id);
function held(id) {
  const known = view.devices.find((d) => d.id === id);
  if (!moved(id) && known) draft.devices.push({ id, profile: known.profile, line: known.line, zone: known.zone, unit: known.unit ?? 0, address: known.address ?? "", place_zh: known.place.zh, place_en: known.place.en, serial: known.serial, plan_x: known.plan_x, plan_y: known.plan_y });
  return moved(id);
}
const SHEET = [1000, 700];
function plan() {
  const floor = el("floor").value, zones = view.zones.filter((z) => z.floor === floor), ids = zones.map((z) => z.id);
  const [wide, high] = zones[0]?.plan_width ? [zones[0].plan_width, zones[0].plan_height] : SHEET;
  const all = [...view.devices.filter((d) => !moved(d.id)), ...draft.devices].filter((d) => ids.includes(d.zone) || draft.zones.some((z) => z.id === d.zone));
  fill("plan", JSON.stringify([floor, zones[0]?.plan, all.map((d) => [d.id, d.plan_x, d.plan_y]), chosen]), () => [
    zones[0]?.plan ? make("img", { src: zones[0].plan, alt: "" }) : make("p", { className: "fine", text: say("install.plan.none") }),
    ...all.map((d, n) => {
      const pin = make("button", { type: "button", className: `pin ${chosen === d.id ? "mine" : ""}`, text: d.id, "aria-label": d.id });
      pin.style.left = `${100 * (d.plan_x ?? wide * (.15 + .7 * (n % 4) / 3)) / wide}%`; pin.style.top = `${100 * (d.plan_y ?? high * (.2 + .15 * Math.floor(n / 4))) / high}%`;
      const put = (x, y) => { const mine = held(d.id); mine.plan_x = Math.round(Math.min(wide, Math.max(0, x))); mine.plan_y = Math.round(Math.min(high, Math.max(0, y))); pin.style.left = `${100 * mine.plan_x / wide}%`; pin.style.top = `${100 * mine.plan_y / high}%`; };
      const where = (event) => { const box = el("plan").getBoundingClientRect(); put((event.clientX - box.left) / box.width * wide, (event.clientY - box.top) / box.height * high); };
      pin.addEventListener("pointerdown", (event) => { chosen = d.id; pin.setPointerCapture(event.pointerId); pin.onpointermove = where; });
      pin.addEventListener("pointerup", () => { pin.onpointermove = null; });
      pin.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[event.key];
        if (!step) return;
        event.preventDefault(); const mine = held(d.id); put((mine.plan_x ?? wide / 2) + step[0], (mine.plan_y ?? high / 2) + step[1]);
      });
      return pin;
    })]);
  if (!zones[0]?.plan) el("plan").style.aspectRatio = "10 / 7";
}
function tapped(event) {
  if (event.target.closest(".pin") || !chosen) return;
  const box = el("plan").getBoundingClientRect(), one = view.zones.find((z) => z.floor === el("floor").value);
  const [wide, high] = one?.plan_width ? [one.plan_width, one.plan_height] : SHEET, mine = held(chosen);
  if (!mine) return;
  mine.plan_x = Math.round((event.clientX - box.left) / box.width * wide); mine.plan_y = Math.round((event.clientY - box.top) / box.height * high); plan();
}
async function byCode() {
  el("code-found").textContent = "";
  const text = await askCode(say);
  if (!text) return;
  const means = meaningOf(text, view.path, [...view.devices, ...draft.devices]), one = [...draft.devices, ...view.devices].find((d) => d.id === means.device);
  el("code-found").className = `outcome ${one ? "good" : "wrong"}`;
  el("code-found").textContent = one ? say("install.code.place", { id: one.id }) : means.foreign ? say("install.code.foreign", { path: means.foreign }) : say("install.code.unknown", { code: means.device || means.serial });
  if (!one) return;
  const home = view.zones.find((z) => z.id === one.zone);
  if (home) el("floor").value = home.floor;
  chosen = one.id; plan();
  el("plan").scrollIntoView({ block: "center" }); [...el("plan").querySelectorAll(".pin")].find((pin) => pin.getAttribute("aria-label") === one.id)?.focus({ preventScroll: true });
}
function answered(answer) {
  el("wrong").replaceChildren(...(answer.findings || []).map((text) => make("li", { text: mine(text) })));
  el("diff").hidden = !answer.diff; el("diff").textContent = answer.diff || "";
  el("saved").className = `outcome ${answer.refusal || answer.findings?.length ? "wrong" : "good"}`;
  el("saved").textContent = answer.refusal || (answer.findings?.length ? say("install.wrong") : answer.written ? say("install.saved", { what: answer.reloaded }) : answer.diff ? "" : say("install.nochange"));
}
async function save(dry) {
  const answer = await post("save", { ...draft, dry });
  answered(answer);
  el("write").hidden = !(dry && answer.diff && !answer.findings?.length);
  if (answer.written) { draft = { devices: [], zones: [], lines: [] }; await look(); }
}
async function undo() { const answer = await post("undo", {}); answered(answer); el("write").hidden = true; draft = { devices: [], zones: [], lines: [] }; await look(); }
async function difference(number) {
  const answer = await (await fetch(`/api/install/versions/${number}`, { cache: "no-store" })).json();
  el("diff").hidden = false; el("diff").textContent = answer.diff || say("install.nochange"); el("diff").focus();
}

// --- tests
// What was heard, in words: a signal that came, or a number.
const heard = (value) => ({ True: say("install.value.on"), False: say("install.value.off") })[value] ?? value ?? "";
const tookOf = (step) => (step.took_ms < 100 ? say("install.walk.atonce") : say("install.walk.within", { took: (step.took_ms / 1000).toFixed(1) }));
const stepOf = (subject) => view.steps.find((step) => step.device === subject);
function walk(d) {
  const step = stepOf(d.id), running = step?.result === "running", left = step && !step.real ? Math.max(0, Math.round((step.until_us - view.at_us) / 1e6)) : 0;
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  const state = !step ? "" : running ? say("install.walk.running", { left: clock })
    : step.result === "arrived" ? say("install.walk.arrived", { took: tookOf(step), value: heard(step.value) }).replace(/[ ·]+$/, "") : say("install.walk.missed");
  const file = make("input", { type: "file", accept: "image/*", capture: "environment", className: "sr", tabindex: -1, "aria-label": `${say("install.walk.photo")} file ${d.id}` });
  file.addEventListener("change", () => photo(d.id, file.files[0]));
  return make("li", { className: running ? "under-test" : step?.result === "arrived" ? "passed" : "" }, make("div", { className: "walk" }, make("b", { className: "grow", text: `${words(d.place) || d.id} (${d.id})` }),
    running ? make("button", { type: "button", text: say("install.walk.end"), "aria-label": `${say("install.walk.end")} ${d.id}`, on: () => test("walk", d.id, "end") })
      : make("button", { type: "button", className: "primary", text: say("install.walk.begin"), "aria-label": `${say("install.walk.begin")} ${d.id}`, on: () => test("walk", d.id, "begin") }),
    step ? make("button", { type: "button", text: say("install.walk.photo"), "aria-label": `${say("install.walk.photo")} ${d.id}`, on: () => file.click() }) : null, step ? file : null),
  d.always_real ? make("p", { className: "wrong", text: say("install.walk.real") }) : null,
  state ? make("p", { className: step.result === "arrived" ? "good" : step.result === "missed" ? "wrong" : "", text: state + (step.delivered ? ` · ${say("install.walk.delivered")}` : "") }) : null,
  step?.result === "arrived" && left ? make("p", { className: "fine", text: say("install.walk.still", { left: clock }) }) : null,
  step?.photos?.length ? make("div", { className: "buttons" }, ...step.photos.map((name) => make("img", { src: `/api/install/photos/${name}`, alt: d.id, width: 96 }))) : null);
}
function lock(one) {
  const step = stepOf(one.id), driven = step && step.note !== "reset";
  return make("li", { className: step?.result === "proved" ? "passed" : one.on ? "under-test" : "" }, make("div", { className: "walk" }, make("b", { className: "grow", text: `${one.id} · ${say(one.on ? "local.on" : "local.off")}` }),
    driven ? make("button", { type: "button", text: say("install.interlock.reset"), "aria-label": `${say("install.interlock.reset")} ${one.id}`, on: () => test("interlock", one.id, "reset") })
      : make("button", { type: "button", className: "primary", text: say("install.interlock.drive"), "aria-label": `${say("install.interlock.drive")} ${one.id}`, on: () => test("interlock", one.id, "drive") })),
  step ? make("p", { className: step.result === "proved" ? "good" : step.result === "failed" ? "wrong" : "", text: `${say(`install.interlock.${step.result}`, { took: (step.took_ms / 1000).toFixed(1) })}${step.result === "running" ? "" : ` · ${say(`install.interlock.${step.confirmed ? "confirmed" : "unconfirmed"}`)}`}` }) : null);
}
async function test(kind, subject, step) {
  const answer = await post(kind, { subject, step });
  told(answer.refusal || "");
  shown.walk = shown.lock = ""; await look();
  beep(answer.result === "arrived" || answer.result === "proved");
}
function beep(good) {
  if (!good || !window.AudioContext) return;
  const sound = new AudioContext(), tone = sound.createOscillator();
  tone.frequency.value = 880; tone.connect(sound.destination); tone.start(); tone.stop(sound.currentTime + .3);
}
async function follow() {
  if (!view || !csrf) return;
  for (const step of view.steps.filter((one) => one.result === "running")) {
    const answer = await post(step.kind, { subject: step.device, step: "look" });
    if (answer.result && answer.result !== "running") { beep(true); shown.walk = shown.lock = ""; }
  }
}
async function photo(subject, file) {
  if (!file) return;
  const picture = await createImageBitmap(file), scale = Math.min(1, 1280 / Math.max(picture.width, picture.height));
  const canvas = make("canvas"); canvas.width = picture.width * scale; canvas.height = picture.height * scale;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);  // redrawn: place and owner of the phone stay behind
  canvas.toBlob(async (blob) => { const answer = await post(`photos?device=${encodeURIComponent(subject)}`, blob, true); told(answer.refusal || ""); shown.walk = ""; await look(); }, "image/jpeg", .8);
}
function accepted() {
  const one = view.accepted;
  el("accepted").textContent = one ? say("install.accept.done", { who: one.who, when: new Date(one.at_us / 1000).toLocaleString(document.documentElement.lang, { hour12: false }), note: one.note ?? "" }) : "";
}
async function accept() {
  const answer = await post("accept", { note: el("accept-note").value });
  el("accept-said").className = `outcome ${answer.refusal ? "wrong" : "good"}`; el("accept-said").textContent = answer.refusal || "✓";
  await look();
}
async function people(body) {
  const answer = await post("people", body);
  if (!Array.isArray(answer)) { el("person-said").className = "outcome wrong"; el("person-said").textContent = answer.refusal; return; }
  el("person-said").className = "outcome good"; el("person-said").textContent = body.name ? say("install.people.done") : "";
  el("people").replaceChildren(...answer.map((one) => make("li", { className: "card" }, make("div", { className: "line" }, make("b", { className: "grow", text: one.name }), make("span", { className: "tag", text: say(`install.role.${one.role}`) }),
    make("button", { type: "button", text: say("install.people.remove"), "aria-label": `${say("install.people.remove")} ${one.name}`, on: () => people({ name: one.name, pin: "" }) })))));
}
async function person(event) {
  event.preventDefault();
  await people({ name: el("person-name").value, pin: el("person-pin").value, role: el("person-role").value });
  el("person-pin").value = "";
}
async function table(dry) {
  const file = el("table").files[0];
  if (!file) { el("table").focus(); return; }
  const answer = await post("table", { text: await file.text(), dry });
  if (answer.refusal) { el("table-said").textContent = answer.refusal; return; }
  const [done, errors] = answer;
  el("table-wrong").replaceChildren(...errors.map((text) => make("li", { text })));
  el("table-said").textContent = errors.length ? say("install.wrong") : done.written ? say("install.saved", { what: done.reloaded }) : "✓";
  answered(done); await look();
}

el("accept").addEventListener("click", accept); el("person").addEventListener("submit", person);
texts = await (await fetch(`/texts/${lang}.json`)).json();
if (lang === "zh") setPhrases(await (await fetch("/phrases/zh.json")).json());
el("scan").addEventListener("submit", scan); el("zone-go").addEventListener("click", zone);
el("check").addEventListener("click", () => save(true)); el("write").addEventListener("click", () => save(false)); el("undo").addEventListener("click", undo);
el("by-code").addEventListener("click", byCode);
el("floor").addEventListener("change", plan); el("plan").addEventListener("click", tapped);
el("sign").addEventListener("click", signIn); el("pin").addEventListener("submit", enter); el("pin-cancel").addEventListener("click", () => el("pin").close());
el("table-check").addEventListener("click", () => table(true)); el("table-go").addEventListener("click", () => table(false));
await who(); await look(); await network();
setInterval(async () => { await follow(); await look(); }, 2000); setInterval(network, 15000);
