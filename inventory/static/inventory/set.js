// Shows the units on hand in the chosen warehouse, as of when the page was loaded. The server refuses a form in which the
// warehouse and the expected units do not belong together, so it does not rely on this script.
const warehouse = document.getElementById("id_warehouse");
const units = document.getElementById("id_expected_on_hand");
const filledInFor = document.getElementById("id_expected_for");
const levels = JSON.parse(units.dataset.levels);

function fillIn() {
  if (filledInFor.value === warehouse.value) return;
  filledInFor.value = warehouse.value;
  units.value = levels[warehouse.value] ?? 0;
}

warehouse.addEventListener("change", fillIn);
// Browsers restore the choice after a reload, without a change event.
window.addEventListener("pageshow", () => setTimeout(fillIn));
