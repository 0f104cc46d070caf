// The pages can be installed like a program. Where the browser has no workers they are what they always were.
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("/worker.js").catch((error) => console.warn("worker not installed", error));
}
// On a narrow screen the navigation is one row that scrolls: the page that is open stands in sight.
document.querySelector('.site-nav [aria-current="page"]')?.scrollIntoView({ block: "nearest", inline: "center" });
document.querySelector(".site-nav")?.addEventListener("focusin", (event) =>
  event.target.scrollIntoView({ block: "nearest", inline: "nearest" }));
