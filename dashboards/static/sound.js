// The board's own sound: two falling tones while a life-safety incident is unacknowledged. Browsers allow sound
// only after a press, so the button says plainly when the board is mute. This never touches the site's sounders.
let context = null, wanted = false, timer = 0;

export function soundOn() { return context !== null && context.state === "running"; }
export async function switchSound() {
  if (soundOn()) { await context.close(); context = null; return false; }
  context = new AudioContext(); await context.resume(); tone(); return soundOn();
}
export function alarmSound(on) {
  wanted = on;
  if (on && !timer) timer = setInterval(() => wanted && tone(), 1600);
  if (!on && timer) { clearInterval(timer); timer = 0; }
}
function tone() {
  if (!soundOn()) return;
  const at = context.currentTime;
  for (const [hz, start] of [[932, 0], [699, 0.35]]) {
    const wave = context.createOscillator(), gain = context.createGain();
    wave.frequency.value = hz; wave.type = "triangle";
    gain.gain.setValueAtTime(0.0001, at + start);
    gain.gain.exponentialRampToValueAtTime(0.4, at + start + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + start + 0.32);
    wave.connect(gain).connect(context.destination);
    wave.start(at + start); wave.stop(at + start + 0.34);
  }
}
