// Another warehouse has other units on hand: the field shows those that the page knows of the chosen one. The server refuses
// a form whose two do not belong together, so it does not rest on this script.
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
// Browsers fill in what was chosen before a reload, without a word.
window.addEventListener("pageshow", () => setTimeout(fillIn));
