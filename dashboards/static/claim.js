// Claim a gateway: the code is checked here before anything is sent; the server judges everything again.
import { hasCamera, readCamera, readPhoto } from "./code_reader.js";

const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const el = (id) => document.getElementById(id);
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
let texts = {}, places = [];
const say = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export function plain(text) {
  return text.slice(text.lastIndexOf("#") + 1).toUpperCase().replace(/O/g, "0").replace(/[IL]/g, "1").replace(/[^0-9A-Z]/g, "");
}
export function checked(code) {
  let total = 0;
  for (const letter of code.slice(0, 10)) {
    total = (total ^ ALPHABET.indexOf(letter)) << 1;
    if (total & 32) total ^= 37;
  }
  return code.length === 11 && [...code].every((letter) => ALPHABET.includes(letter)) && ALPHABET[total] === code[10];
}
function codeTyped() {
  const code = plain(el("code").value);
  if (code.length <= 11) el("code").value = code.match(/.{1,4}/g)?.slice(0, 3).join("-") ?? "";
  if (code.length === 11) el("code").value = `${code.slice(0, 4)}-${code.slice(4, 8)}-${code.slice(8)}`;
  const state = el("code-state");
  state.className = code.length < 11 ? "fine" : checked(code) ? "good" : "wrong";
  state.textContent = code.length < 11 ? say("claim.code.short", { count: code.length }) : say(checked(code) ? "claim.code.good" : "claim.code.wrong");
  shown();
}
const path = () => el("site").value || el("path").value.trim().toLowerCase();
function shown() {
  el("new-site").hidden = Boolean(el("site").value);
  const place = places.find((one) => one.path === el("site").value);
  const site = place ? name(place) : el(`name-${lang}`).value || path();
  el("what").textContent = path() ? say("claim.confirm.text", { gateway: el("gateway").value, site }) : "";
}
const name = (place) => (lang === "zh" ? place.name_zh : place.name_en) || place.path;
async function post(url, body) {
  try {
    const response = await fetch(url, { method: "POST", cache: "no-store", body: JSON.stringify(body), headers: { "content-type": "application/json", "x-tocsin": "board" } });
    const answer = await response.json();
    return answer.refusal === "right" ? { refusal: say("claim.right") } : answer.refusal === "path" ? { refusal: say("claim.path.wrong") } : answer;
  } catch { return { refusal: say("claim.failed") }; }
}
async function claim(event) {
  event.preventDefault();
  el("go").disabled = true;
  const answer = await post("/api/claims", { code: el("code").value, path: path(), gateway: el("gateway").value.trim(),
    name_en: el("name-en").value, name_zh: el("name-zh").value, replace: el("replace").checked });
  el("go").disabled = false;
  el("outcome").className = `outcome ${answer.refusal ? "wrong" : "good"}`;
  el("outcome").textContent = answer.refusal ? say("claim.refused", { why: answer.refusal }) : say("claim.done", { gateway: answer.done });
  if (!answer.refusal) { el("code").value = ""; el("replace").checked = false; codeTyped(); await load(); }
}
async function many() {
  let done = 0;
  const refused = [];
  for (const line of el("many").value.split("\n").map((text) => text.trim()).filter(Boolean)) {
    const [code, where = "", gateway = ""] = line.split(/[,;\t]/).map((text) => text.trim());
    const answer = await post("/api/claims", { code, path: where, gateway });
    if (answer.refusal) refused.push(`${line}: ${answer.refusal}`); else done += 1;
  }
  el("many-outcome").textContent = say("claim.many.done", { done, failed: refused.length });
  el("many-refused").replaceChildren(...refused.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  await load();
}
function row(place, gateway) {
  const item = document.createElement("li");
  item.className = "card";
  const line = document.createElement("div");
  line.className = "line";
  const title = Object.assign(document.createElement("b"), { className: "grow", textContent: `${name(place)} · ${gateway.id}` });
  const over = gateway.until_us / 1000 < Date.now();
  const tag = Object.assign(document.createElement("span"), { className: `tag ${gateway.status === "revoked" ? "notice" : over ? "critical" : "good"}`,
    textContent: say(gateway.status === "revoked" ? "claim.revoked" : "claim.enrolled") });
  line.append(title, tag);
  item.append(line);
  if (gateway.status !== "revoked") {
    const date = new Date(gateway.until_us / 1000).toLocaleDateString(document.documentElement.lang);
    item.append(Object.assign(document.createElement("div"), { className: "more", textContent: say(over ? "claim.ended" : "claim.until", { date }) }));
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: say("claim.revoke") });
    button.setAttribute("aria-label", `${say("claim.revoke")}: ${place.path} ${gateway.id}`);
    button.addEventListener("click", () => revoke(place, gateway));
    item.append(button);
  }
  return item;
}
function revoke(place, gateway) {
  el("revoke-title").textContent = say("claim.revoke.why", { gateway: `${name(place)} · ${gateway.id}` });
  el("revoke-why").value = "";
  el("revoke").onclose = async () => {
    const why = el("revoke-why").value.trim();
    if (el("revoke").returnValue !== "go" || !why) return;
    const answer = await post("/api/claims/revoke", { path: place.path, gateway: gateway.id, why });
    el("outcome").className = "outcome wrong";
    el("outcome").textContent = answer.refusal ?? "";
    await load();
  };
  el("revoke").returnValue = "";
  el("revoke").showModal();
}
async function load() {
  try {
    const answer = await (await fetch("/api/claims/places", { cache: "no-store" })).json();
    places = answer.places;
    const chosen = el("site").value;
    el("site").replaceChildren(el("site").lastElementChild.value === "" ? el("site").lastElementChild : el("site").querySelector('[value=""]'));
    for (const place of places) el("site").prepend(new Option(`${name(place)} (${place.path})`, place.path));
    el("site").value = places.some((one) => one.path === chosen) ? chosen : places.length ? places[0].path : "";
    if (!el("path").value && answer.scope) el("path").value = `${answer.scope}/`.replace(/^((?:[^/]*\/){4}).*$/, "$1").replace(/\/$/, answer.scope.split("/").length > 3 ? "" : "/");
    const rows = places.flatMap((place) => place.gateways.map((gateway) => row(place, gateway)));
    el("known").replaceChildren(...(rows.length ? rows : [Object.assign(document.createElement("li"), { className: "empty", textContent: say("claim.none") })]));
  } catch {
    el("known").replaceChildren(Object.assign(document.createElement("li"), { className: "empty", textContent: say("claim.failed") }));
  }
  shown();
}
async function scan() {
  if (!hasCamera()) { el("photo").click(); return; }
  const stop = new AbortController(), over = setTimeout(() => stop.abort(), 60_000);
  el("camera").hidden = false;
  try { scanned(await readCamera(el("camera"), stop.signal)); }
  catch { el("code-state").textContent = say("claim.scan.none"); el("photo").click(); }
  clearTimeout(over); el("camera").hidden = true;
}
function scanned(text) {
  if (text) { el("code").value = text; codeTyped(); } else { el("code-state").textContent = say("claim.scan.none"); el("code").focus(); }
}
async function photo() {
  const [file] = el("photo").files;
  if (!file) return;
  try { scanned(await readPhoto(file)); } catch { scanned(""); }
  el("photo").value = "";
}
texts = await (await fetch(`/texts/${lang}.json`)).json();
if (location.hash.length > 5) { el("code").value = location.hash; history.replaceState(null, "", location.pathname); }
el("code").addEventListener("input", codeTyped);
for (const id of ["site", "path", "gateway", "name-en", "name-zh"]) el(id).addEventListener("input", shown);
el("claim").addEventListener("submit", claim);
el("scan").addEventListener("click", scan); el("photo").addEventListener("change", photo);
el("many-go").addEventListener("click", many);
el("revoke-go").addEventListener("click", () => { el("revoke").returnValue = "go"; });
el("revoke-go").value = "go";
el("revoke-cancel").addEventListener("click", () => el("revoke").close(""));
codeTyped();
await load();
