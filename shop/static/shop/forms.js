// Who signs in again, here or in another tab, has another token; what was typed before is sent with that.
document.addEventListener("submit", (event) => {
  const field = event.target.elements.namedItem("csrfmiddlewaretoken");
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (field && token) field.value = token;
});

// A form is sent once: its button is off while the answer is on its way. The form's key holds it without this, too.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  // Not before the browser has collected what the form sends, the button's own value included.
  setTimeout(() => buttonsOf(event.target).forEach((button) => { button.disabled = true; }));
});

// Back shows the form that was sent, with the key that it was sent with; a reload or a new visit has a new one.
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form").forEach((form) => buttonsOf(form).forEach((button) => { button.disabled = false; }));
  const cameBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  const kept = (cameBack && history.state?.formKeys) || [];
  const fields = [...document.querySelectorAll("form[data-once] input[name=form_key]")];
  fields.forEach((field, place) => { field.value = kept[place] ?? field.value; });
  if (fields.length) history.replaceState({ ...history.state, formKeys: fields.map((field) => field.value) }, "");
});

// Browsers skip autofocus now and then; who scans with both hands full cannot click into the field.
document.addEventListener("DOMContentLoaded", () => document.querySelector("[autofocus]")?.focus());

function buttonsOf(form) {
  return [...form.elements].filter((field) => field.type === "submit");
}
