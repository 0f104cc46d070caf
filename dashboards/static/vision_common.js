// What the cameras' two pages share: texts, signing in with a PIN, asking the gateway, themes.
export const el = (id) => document.getElementById(id);
export const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
export const session = { who: "", csrf: "" };
let texts = {};
let signedIn = () => {};

export const say = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
export function tell(text, bad = false) { el("outcome").textContent = text; el("outcome").classList.toggle("bad", bad); }
export function make(tag, options = {}, ...children) {
  const { text, ...attributes } = options;
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
export async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Tocsin": "local", "X-Tocsin-Csrf": session.csrf } };
  let answer;
  try { answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(20000), ...options }); }
  catch (error) { el("stale").hidden = false; throw error; }
  el("stale").hidden = true;
  const told = await answer.json().catch(() => ({ refusal: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(told.refusal), { told, status: answer.status });
  return told;
}
export function refused(error) {
  if (error.status === 403) return session.who ? say("vision.right") : say("vision.sign");
  return say("vision.refused", { why: error.message });
}
// The gateway's own page, another port of the same machine: it said which when it linked here. Only a number is taken,
// so that a forged link leads nowhere else.
function linkBack() {
  const key = "tocsin_gateway_port";
  let given = new URLSearchParams(location.search).get("gateway") || "";
  try { given = given || sessionStorage.getItem(key) || ""; } catch { /* private window */ }
  const [, port, secure] = /^(\d{1,5})(s?)$/.exec(given) || [];
  if (!port || Number(port) < 1 || Number(port) > 65535 || !el("back")) return;
  try { sessionStorage.setItem(key, given); } catch { /* private window */ }
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  el("back").href = `${secure ? "https" : "http"}://${host}:${port}/`;
  el("back").hidden = false;
}
linkBack();
export function onSignedIn(done) { signedIn = done; }
function drawSession() {
  el("who").textContent = session.who ? say("local.signed_in", { who: session.who }) : "";
  el("sign").textContent = say(session.who ? "local.sign_out" : "local.sign_in");
}
async function sign() {
  if (session.who) { await ask("/api/sign-out", {}); session.who = session.csrf = ""; drawSession(); return; }
  el("pin-wrong").textContent = ""; el("pin-pin").value = "";
  el("pin").showModal();
}
export async function begin() {
  texts = await (await fetch(`/texts/${lang}.json`)).json();
  Object.assign(session, await ask("/api/session"));
  drawSession();
  el("sign").addEventListener("click", sign);
  el("pin-cancel").addEventListener("click", () => el("pin").close());
  el("pin").querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try { Object.assign(session, await ask("/api/sign-in", { name: el("pin-name").value, pin: el("pin-pin").value })); }
    catch (error) {
      el("pin-wrong").textContent = error.message === "locked" ? say("local.pin.locked", error.told) : say("local.pin.wrong");
      return;
    }
    el("pin").close(); drawSession(); signedIn();
  });
  el("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
}
