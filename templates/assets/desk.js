// What changes while somebody looks on (a delivery, an import): asks every second at first, then less and less often, and
// stops when it has ended.
const part = document.querySelector("[data-source]");
const lost = document.getElementById(`${part.id}-lost`);
const began = Date.now();
let failures = 0;

function pause() {
  const minutes = (Date.now() - began) / 60000;
  const usual = minutes < 1 ? 1000 : minutes < 5 ? 3000 : 15000;
  return Math.min(usual * 2 ** failures, 30000);
}

async function look() {
  if (Date.now() - began > 20 * 60000) return; // a page that is forgotten must not keep somebody signed in
  if (document.hidden) return later();
  try {
    const answer = await fetch(part.dataset.source, { redirect: "manual", headers: { Accept: "text/html" } });
    if (answer.type === "opaqueredirect" || answer.status === 403) return location.reload(); // signed out meanwhile
    if (!answer.ok) throw new Error(String(answer.status));
    failures = 0;
    lost.hidden = true;
    const text = (await answer.text()).trim();
    if (text !== part.dataset.shown) {
      part.dataset.shown = text;
      part.innerHTML = text;
    }
    const shown = part.querySelector("[data-ended]");
    if (shown) {
      document.querySelector("h1").textContent = shown.dataset.title;
      document.title = `${shown.dataset.title} – Seteli`;
      if (shown.dataset.ended === "yes") {
        if (part.dataset.atEnd === "reload") return location.reload(); // what can be done now is on the page around it
        return document.getElementById("refresh").remove();
      }
    }
  } catch {
    failures += 1;
    lost.hidden = failures < 2;
  }
  later();
}

function later() {
  setTimeout(look, pause());
}

later();
