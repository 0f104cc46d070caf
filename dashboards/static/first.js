// The page of a gateway that nobody has claimed: asks each second, and goes on to the installation by itself.
const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const el = (id) => document.getElementById(id);
const say = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const words = (text) => (text ? text[lang] || text.en : "");
let texts = {}, csrf = "", view = null, shown = "", nets = "";

function made(tag, text, className = "") { const node = document.createElement(tag); node.textContent = text; node.className = className; return node; }
async function post(path, body) {
  try {
    const response = await fetch(path, { method: "POST", cache: "no-store", body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-tocsin": "local", "x-tocsin-csrf": csrf } });
    const answer = await response.json();
    if (response.ok) return { done: answer ?? true };
    if (answer.refusal === "session") { csrf = ""; return { refusal: say("local.session_over") }; }
    if (answer.refusal === "wrong" || answer.refusal === "locked") return { refusal: say(answer.refusal === "locked" ? "local.pin.locked" : "local.pin.wrong", answer) };
    return answer;
  } catch { return { refusal: say("install.failed") }; }
}
async function session() {
  const known = await (await fetch("/api/session", { cache: "no-store" })).json();
  csrf = known.csrf;
  el("begin").hidden = Boolean(known.who); el("begun").hidden = !known.who; el("begun").textContent = known.who ? say("local.signed_in", { who: known.who }) : "";
  el("cloud-go").disabled = !known.who;
  el("pin-hint").textContent = say(known.anybody ? "first.pin.taken" : "first.pin.hint");
  el("begin-go").textContent = say(known.anybody ? "local.sign_in" : "first.pin.go");
  return known;
}
async function begin(event) {
  event.preventDefault();
  const asked = { name: el("name").value.trim(), pin: el("pin").value };
  el("begin-go").disabled = true;
  let answer = {};
  if (!(await session()).anybody) answer = await post("/api/first/pin", asked);
  if (!answer.refusal) answer = await post("/api/sign-in", asked);
  el("begin-go").disabled = false; el("begin-said").textContent = answer.refusal || "";
  if (!answer.refusal) { el("pin").value = ""; await session(); await look(); el("address").focus(); }
}
async function cloud(event) {
  event.preventDefault();
  const answer = await post("/api/first/cloud", { address: el("address").value.trim() });
  el("cloud-said").textContent = answer.refusal || "";
  await look();
  if (!answer.refusal) el("h-code").scrollIntoView({ block: "start" });
}
async function another() { const answer = await post("/api/first/code", {}); el("cloud-said").textContent = answer.refusal || ""; await look(); }
async function look() {
  try {
    const response = await fetch("/api/first", { cache: "no-store" });
    if (response.status === 404) { location.replace("/install"); return; }  // the gateway runs: its own page answers now
    view = await response.json();
    if (view.refusal) { told(view.refusal); return; }
  } catch { told(say("install.failed")); return; }
  told(view.trouble ? say(`first.${view.trouble}`, { why: view.why }) : "");
  const claim = view.claim, minutes = Math.ceil(claim.left_s / 60), key = JSON.stringify([view.step, Boolean(csrf), claim.code, claim.gateway, minutes]);
  if (JSON.stringify(view.network) !== nets) { nets = JSON.stringify(view.network); el("network").replaceChildren(...view.network.map(check)); }
  if (claim.cloud && !el("address").value) el("address").value = claim.cloud;
  if (key === shown) return;
  shown = key;
  el("code-deeds").hidden = !claim.code;
  if (view.step === "claimed") { el("code").replaceChildren(made("p", say("first.claimed", { gateway: claim.gateway }), "good")); el("cloud-go").disabled = true; return; }
  if (!claim.code) { el("code").replaceChildren(made("p", say(view.step === "code" && csrf ? "first.code.telling" : "first.code.later"), "fine")); return; }
  const picture = document.createElement("img");
  picture.src = `data:image/svg+xml;base64,${btoa(claim.qr)}`; picture.alt = claim.code;
  el("code").replaceChildren(picture, made("p", claim.code, "big"), made("p", say("first.code.hint", { cloud: claim.cloud, minutes }), "fine"), made("p", say("first.code.wait"), "fine"));
}
function check(one) {
  const card = made("li", "", `card ${one.state === "bad" ? "critical" : one.state === "doubt" ? "warning" : ""}`);
  card.append(made("div", words(one.what), one.state === "ok" ? "good" : ""));
  if (words(one.remedy)) card.append(made("div", words(one.remedy), "more"));
  return card;
}
function told(text) { el("said").hidden = !text; el("said").textContent = text; }

texts = await (await fetch(`/texts/${lang}.json`)).json();
el("begin").addEventListener("submit", begin); el("cloud").addEventListener("submit", cloud); el("code-new").addEventListener("click", another);
await session(); await look();
setInterval(look, 1000);
