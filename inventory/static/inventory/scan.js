// Scans are sent one after the other while the scanner goes on: a slow network loses none and delays none. They are kept
// in the tab until each is answered, also when the page is left or loaded again, with the key that the first was sent with.
const scans = [];
let isSending = false;

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("scan");
  const kept = JSON.parse(sessionStorage.getItem(form.action) ?? "{}");
  if (kept.scans?.length) {
    scans.push(...kept.scans);
    form.elements.form_key.value = kept.key;
    send();
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = form.elements.sku;
    if (field.value.trim()) scans.push(field.value.trim());
    field.value = "";
    field.focus();
    keep();
    if (scans.length > 1) say(`Scans on their way: ${scans.length}.`);
    if (!isSending) send();
  });
});

function keep() {
  const form = document.getElementById("scan");
  sessionStorage.setItem(form.action, JSON.stringify({ scans, key: form.elements.form_key.value }));
}

async function send() {
  isSending = true;
  while (scans.length) {
    const page = await answerTo(scans[0]);
    if (page) {
      const sku = scans.shift();
      show(page, sku);
      keep();
      say(scans.length > 1 ? `Scans on their way: ${scans.length}.` : "");
    } else {
      say(`Not sent yet: ${scans.join(", ")}. Leave this page open. They are sent once the server answers and you are signed in.`);
      await new Promise((wake) => { setTimeout(wake, 1000); });
      await renewToken();
    }
  }
  isSending = false;
}

// The page that answers a scan; nothing when it is not known whether the scan was counted, or when nobody is signed in.
// It is sent again with the same key: if it was counted already, it is not counted twice.
async function answerTo(sku) {
  const form = document.getElementById("scan");
  const body = new FormData(form);
  body.set("sku", sku);
  const response = await ask(form.action, { method: "POST", body });
  return response && (response.ok || response.status === 422) ? pageIn(response) : null;
}

// Whoever signs in again has another token; the key of the form stays.
async function renewToken() {
  const response = await ask(document.getElementById("scan").action, {});
  const page = response?.ok ? await pageIn(response) : null;
  if (page) tokenIn(document).value = tokenIn(page).value;
}

async function ask(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    return null;
  }
}

async function pageIn(response) {
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return page.getElementById("scan-result") ? page : null;
}

function tokenIn(page) {
  return page.querySelector("#scan [name=csrfmiddlewaretoken]");
}

function show(page, sku) {
  // What was refused stays in sight while others are counted.
  page.querySelectorAll("#scan .errors li, #scan-result [role=alert]").forEach((error) => {
    const item = document.createElement("li");
    item.textContent = `${sku}: ${error.textContent.trim()}`;
    document.getElementById("scan-refused").prepend(item);
  });
  document.querySelector("#scan [name=form_key]").value = page.querySelector("#scan [name=form_key]").value;
  // Who is entering a quantity is not disturbed.
  const isEntering = document.querySelector("#scan-result form")?.contains(document.activeElement);
  if (!isEntering) document.getElementById("scan-result").replaceWith(page.getElementById("scan-result"));
}

function say(text) {
  document.getElementById("scan-waits").textContent = text;
}
