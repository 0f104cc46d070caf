// Times that the server wrote in UTC are shown in the reader's own time, with their age.
const chinese = document.documentElement.lang.startsWith("zh");

function age(seconds) {
  const [count, unit] = seconds < 90 ? [Math.max(0, seconds), "second"] : seconds < 5400 ? [seconds / 60, "minute"]
    : seconds < 172800 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  return new Intl.RelativeTimeFormat(chinese ? "zh-CN" : "en", { numeric: "always" }).format(-Math.round(count), unit);
}

function show() {
  for (const node of document.querySelectorAll("time[data-at-s]")) {
    const at = new Date(Number(node.dataset.atS) * 1000);
    node.dateTime = at.toISOString();
    node.title = at.toISOString();
    node.textContent = `${at.toLocaleString(document.documentElement.lang, { hour12: false })} (${age((Date.now() - at) / 1000)})`;
  }
}

show();
setInterval(show, 15000);
