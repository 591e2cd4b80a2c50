// What is filled in stays with this step of the browser's history: whoever comes back from the preview finds it again,
// and a new decision begins empty. The fields are no form that browsers remember (autocomplete="off", and this page may
// not be kept), so browsers bring them back empty. It goes with the tab, and is for the session it was filled in for.
const form = document.getElementById("decision-form");
const session = form.elements.csrf.value;

function keep() {
  const given = [...new FormData(form)].filter(([name]) => name !== "csrf");
  history.replaceState({ session, given }, "");
}

function fill(given) {
  for (const input of form.querySelectorAll("[name]:not([name='csrf'])")) {
    const value = given.get(input.name);
    if (input.type === "checkbox") input.checked = value !== undefined;
    else if (value !== undefined) input.value = value;
  }
  const more = form.querySelector("details");
  if (given.get("weekly_hours") || given.has("confirmed")) more.open = true;
}

// A link to this very address keeps the step of the history, and asks for an empty form all the same.
const isAsked = performance.getEntriesByType("navigation")[0]?.type === "navigate";
if (!isAsked && history.state?.session === session) fill(new Map(history.state.given));
form.addEventListener("change", keep);
form.addEventListener("submit", keep);
