// The provider's pages, made better: digits in groups, typing slips told at once, the QR code, no second tap.
// Everything works without it, and nothing is sent from here.
import { digitsOf, grouped, slipIn } from "./code.js";

const WAITING = "scanned-code"; // in this tab alone, from the QR code over signing in to the field
const WAITING_MS = 15 * 60 * 1000;

const field = document.getElementById("code");
if (field) codeField(field);
const scanned = document.getElementById("scanned");
if (scanned) scannedCode(scanned);
for (const form of document.querySelectorAll("form[data-once]")) once(form);

function codeField(input) {
  const note = document.getElementById("code-slip");
  const most = Number(input.dataset.digits);
  const tell = (slip) => {
    const text = slip ? note.dataset[slip] : "";
    if (note.textContent !== text) note.textContent = text;
    if (slip) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => {
    group(input);
    const slip = slipIn(input.value, most);
    tell(slip === "short" ? null : slip); // nobody is done yet
  });
  input.addEventListener("blur", () => tell(input.value ? slipIn(input.value, most) : null));
  input.form.addEventListener("submit", (event) => {
    const slip = slipIn(input.value, most);
    if (!slip) return;
    event.preventDefault();
    tell(slip);
    input.focus();
  });
  const take = (digits) => {
    input.value = grouped(digits);
    input.dispatchEvent(new Event("input"));
  };
  const known = fromAddress() ?? waiting();
  if (known) take(known);
  camera(input, take);
}

// Four by four, with the caret behind the same digit as before.
function group(input) {
  if (/[^0-9\s]/.test(input.value)) return; // pasted with other signs: the server takes them, too
  const before = digitsOf(input.value.slice(0, input.selectionStart)).length;
  const shown = grouped(digitsOf(input.value));
  if (shown === input.value) return;
  input.value = shown;
  const place = before + Math.floor(Math.max(0, before - 1) / 4);
  input.setSelectionRange(place, place);
}

function scannedCode(output) {
  const digits = digitsOf(decodeURIComponent(location.hash.slice(1)));
  if (digits.length < 12 || digits.length > 16) return;
  output.textContent = grouped(digits);
  document.getElementById("sign-in").addEventListener("click", () => {
    sessionStorage.setItem(WAITING, JSON.stringify({ digits, until: Date.now() + WAITING_MS }));
  });
}

// What stands behind the # stays in the browser, and goes out of its address line and history here.
function fromAddress() {
  const digits = digitsOf(decodeURIComponent(location.hash.slice(1)));
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return digits.length >= 12 ? digits : null;
}

function waiting() {
  const kept = sessionStorage.getItem(WAITING);
  sessionStorage.removeItem(WAITING);
  if (!kept) return null;
  const { digits, until } = JSON.parse(kept);
  return Date.now() < until ? digits : null;
}

// The button is there only where the browser can read QR codes, or a kept polyfill was set up.
async function camera(input, take) {
  const button = document.getElementById("camera");
  const view = document.getElementById("camera-view");
  const note = document.getElementById("camera-note");
  if (!button || !navigator.mediaDevices?.getUserMedia) return;
  if (!("BarcodeDetector" in window) && button.dataset.polyfill) await import(button.dataset.polyfill).catch(() => null);
  if (!("BarcodeDetector" in window)) return;
  const formats = await BarcodeDetector.getSupportedFormats().catch(() => []);
  if (!formats.includes("qr_code")) return;
  const open = button.textContent;
  let stream = null;
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    view.hidden = true;
    button.textContent = open;
    note.textContent = "";
  };
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (stream) return stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      note.textContent = note.dataset.none;
      return;
    }
    view.srcObject = stream;
    view.hidden = false;
    button.textContent = button.dataset.stop;
    note.textContent = note.dataset.look;
    await view.play();
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    while (stream) {
      const [found] = await detector.detect(view).catch(() => []);
      const digits = found ? digitsOf(found.rawValue.split("#").at(-1)) : "";
      if (digits && !slipIn(digits, Number(input.dataset.digits))) {
        stop();
        take(digits);
        input.form.requestSubmit();
        return;
      }
      await new Promise((next) => setTimeout(next, 150));
    }
  });
  addEventListener("pagehide", stop);
}

// The key in the form makes a second tap harmless; this only keeps people from wondering.
function once(form) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    form.querySelector("button")?.setAttribute("aria-disabled", "true");
    setTimeout(again, 15000); // the connection may have gone: the same key goes with the next tap
  });
  const again = () => {
    sent = false;
    form.querySelector("button")?.removeAttribute("aria-disabled");
  };
  addEventListener("pageshow", again);
}
