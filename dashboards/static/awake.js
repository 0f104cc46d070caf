// Keeps the screen on while it is asked to, and says plainly when the browser refuses. The lock ends whenever the page
// is hidden, so it is asked for again when it comes back.
let lock = null, wanted = false, refused = "";
export const awakeWanted = () => wanted;
export function awakeState() { return lock && !lock.released ? "on" : !("wakeLock" in navigator) ? "unsupported" : wanted && refused ? "refused" : "off"; }
export const awakeRefusal = () => refused;
export async function keepAwake(on) {
  wanted = on;
  if (!on) { await lock?.release(); lock = null; return; }
  if (!("wakeLock" in navigator)) return;
  try { lock = await navigator.wakeLock.request("screen"); refused = ""; }
  catch (error) { refused = error.message || error.name; lock = null; }
}
document.addEventListener("visibilitychange", () => { if (wanted && document.visibilityState === "visible") keepAwake(true); });
