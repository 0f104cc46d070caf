// The dialogue in which an installer's phone reads the code on a device: camera, photo, or typed.
import { hasCamera, readCamera, readPhoto } from "./code_reader.js";

const el = (id) => document.getElementById(id);
let stop = null, answer = null;

function ends(text) {
  stop?.abort(); stop = null;
  if (el("code-box").open) el("code-box").close();
  const told = answer; answer = null;
  told?.(text);
}
async function camera(say) {
  const mine = stop = new AbortController();
  el("code-video").hidden = false; el("code-said").textContent = say("install.code.looking");
  try {
    const text = await readCamera(el("code-video"), mine.signal);
    if (text) ends(text);
  } catch { if (!mine.signal.aborted) el("code-said").textContent = say("install.code.nocamera"); }
  el("code-video").hidden = true;
}
async function photo(say) {
  const [file] = el("code-photo").files;
  if (!file) return;
  el("code-said").textContent = say("install.code.looking");
  try {
    const text = await readPhoto(file);
    if (text) { ends(text); return; }
    el("code-said").textContent = say("install.code.none");
  } catch { el("code-said").textContent = say("install.code.nopicture"); }
  el("code-photo").value = "";  // the same photo may be chosen again
}

/** Ask for a code: its text, or "" where the person gave up. */
export function askCode(say) {
  ends("");
  el("code-said").textContent = ""; el("code-typed").value = ""; el("code-video").hidden = true;
  el("code-camera").hidden = !hasCamera();
  el("code-camera").onclick = () => { stop?.abort(); camera(say); };
  el("code-take").onclick = () => el("code-photo").click();
  el("code-photo").onchange = () => photo(say);
  el("code-form").onsubmit = (event) => { event.preventDefault(); const text = el("code-typed").value.trim(); if (text) ends(text); };
  el("code-cancel").onclick = () => ends("");
  el("code-box").onclose = () => ends("");
  return new Promise((done) => { answer = done; el("code-box").showModal(); });
}
