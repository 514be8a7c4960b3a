// Scans are sent one after the other while the scanner goes on: a slow network loses none and delays none. They are kept in
// the tab until each is answered, also when the page is loaded again, with the key that the first of them is sent with.
const scans = [];
const refused = [];
let isSending = true; // until it is known which scans this tab has kept
let next = null; // what was asked for while scans were on their way
let queue = `scans-${Math.random()}`;

document.addEventListener("DOMContentLoaded", async () => {
  const form = document.getElementById("scan");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = form.elements.sku;
    if (field.value.trim()) scans.push(field.value.trim());
    field.value = "";
    field.focus();
    keep();
    tellWaiting();
    if (!isSending) send();
  });
  document.getElementById("scan-clear").addEventListener("click", () => { refused.length = 0; keep(); showRefused(); });
  const kept = await ownQueue();
  scans.unshift(...(kept.scans ?? []));
  refused.push(...(kept.refused ?? []));
  if (kept.scans?.length) form.elements.form_key.value = kept.key;
  keep();
  showRefused();
  send();
});

// Who scans without looking where the focus is, scans into the field.
document.addEventListener("keydown", (event) => {
  const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (isText && document.activeElement === document.body) document.getElementById("id_sku").focus();
});

// A quantity or a review comes after the scans before it.
document.addEventListener("submit", (event) => {
  if (event.target.id !== "scan") afterScans(event, () => event.target.requestSubmit());
}, true);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (link && !link.target && !event.ctrlKey && !event.metaKey) afterScans(event, () => { location.href = link.href; });
}, true);

function afterScans(event, then) {
  if (!scans.length) return;
  event.preventDefault();
  event.stopPropagation();
  next = then;
  tellWaiting();
}

// What the tab has kept; nothing in a copy of a tab, whose scans the first one sends.
async function ownQueue() {
  const kept = JSON.parse(sessionStorage.getItem(document.getElementById("scan").action) ?? "{}");
  queue = kept.queue ?? queue;
  if (!navigator.locks || (await lock(queue))) return kept;
  queue = `scans-${Math.random()}`;
  await lock(queue);
  return {};
}

// Whether no other tab has this name; it is ours as long as the page is there. A page that is being left has a moment.
function lock(name) {
  return new Promise((resolve) => {
    const forAsLongAsThePage = () => { resolve(true); return new Promise(() => {}); };
    navigator.locks.request(name, { signal: AbortSignal.timeout(1000) }, forAsLongAsThePage).catch(() => resolve(false));
  });
}

function keep() {
  const form = document.getElementById("scan");
  const kept = { queue, scans, refused, key: form.elements.form_key.value };
  sessionStorage.setItem(form.action, JSON.stringify(kept));
}

async function send() {
  isSending = true;
  while (scans.length) {
    const page = await answerTo(scans[0]);
    if (page) {
      show(page, scans.shift());
      keep();
      tellWaiting();
    } else {
      say(`Not sent yet: ${scans.join(", ")}. Leave this page open. They are sent once the server answers and you are signed in.`);
      await new Promise((wake) => { setTimeout(wake, 1000); });
      await renewToken();
    }
  }
  isSending = false;
  const then = next;
  next = null;
  then?.();
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
  page.querySelectorAll("#scan .errors li, #scan-result [role=alert]").forEach((error) => {
    refused.unshift(`${sku}: ${error.textContent.trim()}`);
  });
  showRefused();
  document.querySelector("#scan [name=form_key]").value = page.querySelector("#scan [name=form_key]").value;
  // Who is entering a quantity is not disturbed, and what waits to be sent stays as it was entered.
  const isEntering = document.querySelector("#scan-result form")?.contains(document.activeElement);
  if (!isEntering && !next) document.getElementById("scan-result").replaceWith(page.getElementById("scan-result"));
}

// What was refused stays in sight until somebody clears it.
function showRefused() {
  document.getElementById("scan-refused").replaceChildren(...refused.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  document.getElementById("scan-clear").hidden = !refused.length;
}

function tellWaiting() {
  const isMany = scans.length > 1 || (next && scans.length);
  say(isMany ? `Scans on their way: ${scans.length}.${next ? " What you asked for follows." : ""}` : "");
}

function say(text) {
  document.getElementById("scan-waits").textContent = text;
}
