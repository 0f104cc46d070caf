// No contact: ask again until the server answers, then open what was wanted.
const wait_ms = 2000;

async function again() {
  try {
    const answer = await fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (answer.ok) { location.reload(); return; }
  } catch { /* still no contact: said on the page already */ }
  setTimeout(again, wait_ms);
}

document.getElementById("since").textContent = new Date().toLocaleTimeString(document.documentElement.lang, { hour12: false });
setTimeout(again, wait_ms);
