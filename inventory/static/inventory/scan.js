// Scans are sent one after the other while the scanner goes on: a slow network loses none and delays none. They are kept in
// the tab until each is answered, also when the page is loaded again, with the key that the first of them is sent with.
// Whoever scanned them sends them: another account that signs in meanwhile has a queue of its own.
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
  document.getElementById("scan-discard").addEventListener("click", discardOthers);
  const kept = await ownQueue();
  scans.unshift(...(kept.scans ?? []));
  refused.push(...(kept.refused ?? []));
  if (kept.scans?.length) form.elements.form_key.value = kept.key;
  keep();
  showRefused();
  await forgetCopies();
  showOthers();
  send();
});

// Scans outlive a reload of the page, and not the end of the tab.
window.addEventListener("beforeunload", (event) => { if (scans.length) event.preventDefault(); });

// Who scans without looking where the focus is, scans into the field.
document.addEventListener("keydown", (event) => {
  const isText = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  const takesText = document.activeElement.matches("input, select, textarea");
  if (isText && !takesText) document.getElementById("id_sku").focus();
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
  const kept = JSON.parse(sessionStorage.getItem(place()) ?? "{}");
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

// Under which name the tab keeps the scans of this count and account.
function place() {
  const form = document.getElementById("scan");
  return `${form.action}#${form.dataset.user}`;
}

function keep() {
  const form = document.getElementById("scan");
  const kept = { queue, scans, refused, key: form.elements.form_key.value, name: form.dataset.name };
  sessionStorage.setItem(place(), JSON.stringify(kept));
}

// What others scanned in this tab into this count and could not send, as [name of the place, what is kept].
function others() {
  const form = document.getElementById("scan");
  const places = Object.keys(sessionStorage).filter((name) => name.startsWith(`${form.action}#`) && name !== place());
  return places.map((name) => [name, JSON.parse(sessionStorage.getItem(name))]).filter(([, kept]) => kept.scans.length);
}

// A copy of a tab keeps nothing of others either: it is the first tab's to send.
async function forgetCopies() {
  if (!navigator.locks) return;
  for (const [name, kept] of others()) if (!(await lock(kept.queue))) sessionStorage.removeItem(name);
}

function showOthers() {
  const found = others().map(([, kept]) => `Not sent: ${kept.scans.join(", ")}. ${kept.name} scanned them in this tab; they are sent when ${kept.name} signs in here again.`);
  document.getElementById("scan-others").textContent = found.join(" ");
  document.getElementById("scan-discard").hidden = !found.length;
}

function discardOthers() {
  others().forEach(([name]) => sessionStorage.removeItem(name));
  showOthers();
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
      await untilSendable();
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
  const page = response && (response.ok || response.status === 422) ? await pageIn(response) : null;
  return page?.getElementById("scan-result") && isOurs(page) ? page : null;
}

// Tells why scans wait, until they need not any more.
async function untilSendable() {
  let why = "";
  do {
    why = await obstacle();
    say(`Not sent yet: ${scans.join(", ")}. ${why}`);
    await new Promise((wake) => { setTimeout(wake, 1000); });
  } while (why);
  document.getElementById("scan-sign-in").hidden = true;
}

// Why no scan can be sent just now, in words; nothing when one can. Whoever signs in again has another token; the key of
// the form stays.
async function obstacle() {
  const response = await ask(document.getElementById("scan").action, {});
  const page = response && response.status < 500 ? await pageIn(response) : null;
  const isSignedOut = Boolean(page?.getElementById("login-form"));
  document.getElementById("scan-sign-in").hidden = !isSignedOut;
  if (!page) return "The server does not answer. Leave this page open: the scans are sent once it does.";
  if (isSignedOut) return "You are signed out. Leave this page open and sign in: the scans are sent then.";
  if (!page.getElementById("scan")) return "You no longer have permission to count here. Ask for it: the scans are sent once you have it.";
  const [own, now] = [document, page].map((found) => found.getElementById("scan").dataset.name);
  if (!isOurs(page)) return `${own} scanned them, but ${now} is signed in now. They are sent once ${own} signs in again.`;
  tokenIn(document).value = tokenIn(page).value;
  return "";
}

function isOurs(page) {
  return page.getElementById("scan").dataset.user === document.getElementById("scan").dataset.user;
}

async function ask(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    return null;
  }
}

async function pageIn(response) {
  return new DOMParser().parseFromString(await response.text(), "text/html");
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
  say(isMany ? `Scans being sent: ${scans.length}.${next ? " The page you asked for follows." : ""}` : "");
}

function say(text) {
  const place = document.getElementById("scan-waits");
  if (place.textContent !== text) place.textContent = text; // it is read out whenever it changes
}
