// Makes or uses a passkey and sends the browser's answer with the form it stands in. Without scripts, or where a browser
// has no passkeys, the form stays hidden and the other ways remain.
const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const ids = (list) => (list || []).map((one) => ({ ...one, id: decode(one.id) }));

async function make(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: decode(options.challenge),
      user: { ...options.user, id: decode(options.user.id) },
      excludeCredentials: ids(options.excludeCredentials),
    },
  });
  return {
    id: made.id,
    rawId: encode(made.rawId),
    type: made.type,
    response: {
      attestationObject: encode(made.response.attestationObject),
      clientDataJSON: encode(made.response.clientDataJSON),
    },
  };
}

async function use(options) {
  const used = await navigator.credentials.get({
    publicKey: { ...options, challenge: decode(options.challenge), allowCredentials: ids(options.allowCredentials) },
  });
  return {
    id: used.id,
    rawId: encode(used.rawId),
    type: used.type,
    response: {
      authenticatorData: encode(used.response.authenticatorData),
      clientDataJSON: encode(used.response.clientDataJSON),
      signature: encode(used.response.signature),
      userHandle: used.response.userHandle ? encode(used.response.userHandle) : null,
    },
  };
}

for (const part of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  part.hidden = false;
  const form = part.querySelector("form");
  const trouble = part.querySelector("[data-trouble]");
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    trouble.hidden = true;
    try {
      const options = JSON.parse(part.dataset.options);
      const answer = await (part.dataset.passkey === "make" ? make(options) : use(options));
      form.elements.credential.value = JSON.stringify(answer);
      form.requestSubmit();
    } catch {
      trouble.hidden = false;
    }
  });
}
