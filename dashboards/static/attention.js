// Sound and a lit screen belong together: whoever wants to hear wants to see. Both buttons always say how it is.
import { $, say } from "./live.js";
import { awakeRefusal, awakeState, awakeWanted, keepAwake } from "./awake.js";
import { soundOn, switchSound } from "./sound.js";

export function setUpAttention() {
  $("sound").onclick = async () => { await switchSound(); if (soundOn() && !awakeWanted()) await keepAwake(true); };
  $("awake").onclick = () => keepAwake(awakeState() !== "on");
}
export function attendTick() {
  const sound = $("sound"), awake = $("awake"), on = soundOn(), heard = say(on ? "sound.on" : "sound.off");
  if (sound.textContent !== heard) { sound.textContent = heard; sound.setAttribute("aria-pressed", String(on)); }
  const is = awakeState(), words = is === "on" ? say("awake.on") : is === "refused" ? say("awake.refused", { why: awakeRefusal() })
    : is === "unsupported" ? say("awake.refused", { why: say("awake.unsupported") }) : say("awake.off");
  if (awake.textContent !== words) { awake.textContent = words; awake.setAttribute("aria-pressed", String(is === "on")); }
}
