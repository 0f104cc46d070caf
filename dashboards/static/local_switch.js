// Outputs by hand: reason and end first, then one look at what will happen, then the gateway decides. The cameras' link.
import { asSomebody, deed, el, fresh, onSigned, person, say } from "/static/local.js";

let asked = null, sure = false;
function step(second) {
  sure = second;
  el("switch-first").hidden = second; el("switch-sure").hidden = !second; el("switch-back").hidden = !second;
  el("switch-go").textContent = say(second ? "deed.switch.confirm" : "deed.switch.next");
  for (const id of ["switch-why", "switch-minutes"]) el(id).disabled = second;
  if (second) {
    const ends = asked.on && !asked.trip ? say("deed.switch.ends", { minutes: el("switch-minutes").value }) : asked.on ? say("deed.switch.trip") : "";
    el("switch-words").textContent = [say("deed.switch.sure", { who: person(), output: asked.output, state: say(`deed.switch.to.${asked.on ? "on" : "off"}`) }),
      `${say("deed.switch.why")}: ${el("switch-why").value.trim()}`, ends].filter(Boolean).join(" · ");
    el("switch-go").focus();
  } else el("switch-why").focus();
}
el("outputs").addEventListener("click", (event) => {
  const button = event.target.closest("[data-hand]");
  if (!button) return;
  const { output, hand, trip } = button.dataset;
  asSomebody(() => {
    asked = { output, on: hand === "on", trip: Boolean(trip) };
    el("switch-title").textContent = `${say("deed.switch")}: ${output}`;
    el("switch-why").value = "";
    el("switch-for").hidden = !asked.on || asked.trip;
    el("switch").showModal();
    step(false);
  });
});
el("switch").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!el("switch-why").value.trim()) { el("switch-why").value = ""; el("switch-why").reportValidity(); return; }
  if (!sure) { step(true); return; }
  el("switch").close();
  await deed("/api/switch", { output: asked.output, on: asked.on, why: el("switch-why").value.trim(),
    minutes: Number(el("switch-minutes").value), request: fresh() }, `${asked.output} ${say(`deed.switch.to.${asked.on ? "on" : "off"}`)}`);
});
el("switch-back").addEventListener("click", () => step(false));
el("switch-cancel").addEventListener("click", () => el("switch").close());

onSigned(async (who) => {
  const link = el("cameras");
  let place = null;
  try { place = who ? await (await fetch("/api/cameras", { cache: "no-store" })).json() : null; } catch { /* no link */ }
  link.hidden = !place;
  if (!place) return;
  const secure = location.protocol === "https:", port = location.port || (secure ? "443" : "80");
  link.href = `${place.secure ? "https" : "http"}://${location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname}:${place.port}/cameras?gateway=${port}${secure ? "s" : ""}`;
});
