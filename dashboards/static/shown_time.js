// Time as the server shows it. The page never trusts its own clock: ages run from the server's time, at the
// server's speed (1 in life, faster in an accelerated demo), so that an age on the board is never a guess.
let anchorUs = 0, anchorReal = 0, speed = 1;

export function anchor(atUs, serverSpeed) {
  anchorUs = atUs; anchorReal = performance.now(); speed = serverSpeed || 1;
}
export function shownUs() {
  return anchorUs + (performance.now() - anchorReal) * 1000 * speed;
}
export function duration(us, t) {
  const s = Math.max(0, Math.floor(us / 1e6));
  if (s < 60) return `${s} ${t["s"]}`;
  if (s < 3600) return `${Math.floor(s / 60)} ${t["min"]} ${String(s % 60).padStart(2, "0")} ${t["s"]}`;
  if (s < 172800) return `${Math.floor(s / 3600)} ${t["h"]} ${Math.floor(s % 3600 / 60)} ${t["min"]}`;
  return `${Math.floor(s / 86400)} ${t["d"]}`;
}
export function clockTime(us) {
  return new Date(us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false });
}
