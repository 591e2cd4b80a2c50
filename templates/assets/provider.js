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
  output.classList.add("scanned");
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

// The button is there where this browser, or the reader that the set-up fetched, may read a QR code off a camera. What it
// takes is loaded when it is pressed.
function camera(input, take) {
  const button = document.getElementById("camera");
  const view = document.getElementById("camera-view");
  const note = document.getElementById("camera-note");
  if (!button || !navigator.mediaDevices?.getUserMedia) return;
  if (!("BarcodeDetector" in window) && !button.dataset.reader) return;
  const open = button.textContent;
  let stream = null;
  let isOpening = false;
  const show = (what) => {
    view.hidden = what !== "look";
    button.textContent = what === "look" ? button.dataset.stop : open;
    note.textContent = what ? note.dataset[what] : "";
  };
  const stop = (why) => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    show(why);
  };
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (stream) return stop();
    if (isOpening) return; // the browser is asking for permission
    isOpening = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      isOpening = false;
      view.srcObject = stream;
      show("look");
      await view.play();
      const reader = await qrReader(button.dataset.reader);
      const code = await codeSeen(view, reader, Number(input.dataset.digits), () => stream);
      if (!code) return;
      stop();
      take(code);
      input.form.requestSubmit();
    } catch (error) {
      stop(error.name === "NotAllowedError" ? "denied" : error.name === "NotFoundError" ? "none" : "failed");
      input.focus();
    } finally {
      isOpening = false;
    }
  });
  addEventListener("pagehide", () => stop());
}

// The browser's own where it reads QR codes (some have it and read none), else the one at `address`.
async function qrReader(address) {
  const formats = ["qr_code"];
  const own = "BarcodeDetector" in window ? await BarcodeDetector.getSupportedFormats().catch(() => []) : [];
  if (own.includes("qr_code")) return new BarcodeDetector({ formats });
  const fetched = await import(address);
  return new fetched.BarcodeDetector({ formats });
}

// The first code of ours that comes before the camera, in the address that a QR code of ours holds; null when `isOn` ends.
async function codeSeen(view, reader, most, isOn) {
  while (isOn()) {
    const [found] = await reader.detect(view).catch(() => []); // a frame that is not there yet
    const digits = found ? digitsOf(found.rawValue.split("#").at(-1)) : "";
    if (isOn() && digits && !slipIn(digits, most)) return digits;
    await new Promise((next) => setTimeout(next, 150));
  }
  return null;
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
