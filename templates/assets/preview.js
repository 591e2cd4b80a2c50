// Once a decision is granted, the way back leads to an empty form, not to a page that the browser wants to send again.
// Only then: until it is granted, reloading shows the same preview.
const form = document.querySelector("form[action='/desk/decisions']");
form.addEventListener("submit", (event) => {
  if (event.submitter?.formAction.endsWith("/desk/correct")) return;
  history.replaceState(null, "", "/desk");
});
