// What a gateway holds, beside what the simulated devices show. What it does not say is unknown, never agreement.
import { markup, shown } from "./tester_device.js";

const $ = (id) => document.getElementById(id);
const named = ({ language }, it) => (language === "zh" ? it.zh : it.en) || it.subject || "";

// The chosen device's points: a column beside the truth, and its alarms above.
export function drawHeld(ctx, view) {
  const { say } = ctx, { gateway, device } = view;
  for (const node of document.querySelectorAll(".held")) node.hidden = !gateway;
  $("device-held").hidden = !gateway || !device;
  if (!gateway || !device) return;
  const held = gateway.held?.devices[device.row.id];
  const alarms = held?.alarms ?? [];
  const words = !gateway.held ? say(`held.short.${gateway.state}`) : !held?.known ? say("held.not_known.long", { device: device.row.id })
    : alarms.length ? "" : say("held.no_alarms");
  keep($("device-held"), [words, alarms], () => [words ? markup("p", {}, `${say("held.gateway")}: ${words}`) : null,
    ...alarms.map((alarm) => alarmLine(ctx, alarm))].filter(Boolean));
  device.points.forEach((point, index) => {
    const cell = $("points").rows[index]?.querySelector(".held"), it = held?.points[point.id];
    if (!cell) return;
    const agree = it?.agreement ?? "unknown";
    const said = !it ? [] : [it.quality === "never" ? "–" : shown(ctx, it.value, point.unit),
      [say(`quality.${it.quality}`), it.age_s < 0 ? "" : say("profile.age", { age: Math.floor(it.age_s) })].filter(Boolean).join(" · "),
      it.alarm ? say(`held.alarm.${it.alarm}`) : ""].filter(Boolean);
    keep(cell, [said, agree, gateway.state], () => [...said.flatMap((text) => [text, markup("br")]),
      markup("span", { class: `agree ${agree}` }, !gateway.held ? say(`held.short.${gateway.state}`) : say(`agree.${agree}`))]);
  });
}

function alarmLine(ctx, alarm) {
  const { say } = ctx;
  return markup("p", { class: `heldalarm ${alarm.severity}` }, markup("strong", {}, named(ctx, alarm)),
    ` · ${alarm.subject} · ${say(`held.alarm.${alarm.state}`)}`, alarm.acknowledged_by ? ` · ${say("held.acknowledged", { who: alarm.acknowledged_by })}` : "");
}

// The gateway as a whole.
export function drawGateway(ctx, gateway, choose) {
  const { say } = ctx, held = gateway?.held, line = $("held-state");
  $("part").disabled = !gateway;
  if (gateway && !$("join-url").value && document.activeElement !== $("join-url")) $("join-url").value = gateway.url;
  const words = !gateway ? say("held.none") : say(`held.state.${gateway.state}`, {
    url: gateway.url, age: Math.max(0, Math.floor(gateway.age_s)), site: held ? (ctx.language === "zh" ? held.zh : held.en) : "",
    gateway: held?.gateway ?? "", alive: held?.alive ?? "", expected: held?.expected ?? "", compared: held?.compared ?? "" });
  const text = [words, gateway?.trouble].filter(Boolean).join(" · ");
  if (line.textContent !== text) line.textContent = text;
  line.className = `heldstate ${!gateway ? "" : gateway.state === "live" ? "good" : "bad"}`;
  keep($("held"), [held?.differing, held?.alarms], () => !held ? [] : [
    markup("h3", {}, say("held.differing", { count: held.differing.length })),
    held.differing.length ? markup("p", { class: "buttons" }, ...held.differing.map((name) => markup("button", { type: "button", "data-differs": name, onclick: () => choose(name) }, name))) : null,
    markup("h3", {}, say("held.open", { count: held.alarms.length })), ...held.alarms.map((alarm) => alarmLine(ctx, alarm))].filter(Boolean));
}

function keep(box, value, draw) {
  const now = JSON.stringify(value);
  if (box.dataset.now === now) return;
  box.dataset.now = now;
  const at = box.contains(document.activeElement) ? document.activeElement.dataset.differs : "";
  box.replaceChildren(...draw());
  if (at) box.querySelector(`[data-differs="${CSS.escape(at)}"]`)?.focus({ preventScroll: true });
}
