// Browsers skip autofocus now and then; who scans with both hands full cannot click into the field.
document.addEventListener("DOMContentLoaded", () => document.querySelector("[autofocus]")?.focus());
