// Scans are sent one after the other while the user keeps scanning: a slow network neither loses nor delays any. The tab
// stores each scan until it is answered, and the key that the first of them is sent with; both survive a reload.
// Each account has a queue of its own: another account that signs in does not send these scans.
const scans = [];
const refused = [];
let isSending = true; // until the stored scans of this tab have been read
let next = null; // the action to run once all scans are sent
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
    showWaiting();
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

// Scans survive a reload of the page, but not the end of the tab.
window.addEventListener("beforeunload", (event) => { if (scans.length) event.preventDefault(); });

// Scans go into the field, wherever the focus is.
document.addEventListener("keydown", (event) => {
  const isText = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  const takesText = document.activeElement.matches("input, select, textarea");
  if (isText && !takesText) document.getElementById("id_sku").focus();
});

// A quantity or a review waits until the earlier scans are sent.
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
  showWaiting();
}

// The stored scans of this tab; none in a duplicated tab, since the original sends them.
async function ownQueue() {
  const kept = JSON.parse(sessionStorage.getItem(place()) ?? "{}");
  queue = kept.queue ?? queue;
  if (!navigator.locks || (await lock(queue))) return kept;
  queue = `scans-${Math.random()}`;
  await lock(queue);
  return {};
}

// Whether this tab gets the lock, which it then keeps until the page ends. A page that is being left has a second to end.
function lock(name) {
  return new Promise((resolve) => {
    const forAsLongAsThePage = () => { resolve(true); return new Promise(() => {}); };
    navigator.locks.request(name, { signal: AbortSignal.timeout(1000) }, forAsLongAsThePage).catch(() => resolve(false));
  });
}

// The storage key for the scans of this count and account.
function place() {
  const form = document.getElementById("scan");
  return `${form.action}#${form.dataset.user}`;
}

function keep() {
  const form = document.getElementById("scan");
  const kept = { queue, scans, refused, key: form.elements.form_key.value, name: form.dataset.name };
  sessionStorage.setItem(place(), JSON.stringify(kept));
}

// Unsent scans of other accounts in this tab and count, as [storage key, stored queue].
function others() {
  const form = document.getElementById("scan");
  const places = Object.keys(sessionStorage).filter((name) => name.startsWith(`${form.action}#`) && name !== place());
  return places.map((name) => [name, JSON.parse(sessionStorage.getItem(name))]).filter(([, kept]) => kept.scans.length);
}

// A duplicated tab deletes the scans of other accounts too: the original tab sends them.
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
      showWaiting();
    } else {
      await untilSendable();
    }
  }
  isSending = false;
  const then = next;
  next = null;
  then?.();
}

// The page that answers a scan; null if nobody is signed in, or if it is unknown whether the scan was counted. Then it is
// sent again with the same key, so that it is not counted twice.
async function answerTo(sku) {
  const form = document.getElementById("scan");
  const body = new FormData(form);
  body.set("sku", sku);
  const response = await ask(form.action, { method: "POST", body });
  const page = response && (response.ok || response.status === 422) ? await pageIn(response) : null;
  return page?.getElementById("scan-result") && isOurs(page) ? page : null;
}

// Shows why scans wait, until they can be sent.
async function untilSendable() {
  let why = "";
  do {
    why = await obstacle();
    say(`Not sent yet: ${scans.join(", ")}. ${why}`);
    await new Promise((wake) => { setTimeout(wake, 1000); });
  } while (why);
  document.getElementById("scan-sign-in").hidden = true;
}

// Why no scan can be sent now, as a message; empty if one can. After a new login the form gets a new CSRF token; its key
// stays.
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
  // Do not disturb somebody who enters a quantity, nor a form that waits to be sent.
  const isEntering = document.querySelector("#scan-result form")?.contains(document.activeElement);
  if (!isEntering && !next) document.getElementById("scan-result").replaceWith(page.getElementById("scan-result"));
}

// Refused scans stay visible until somebody clears them.
function showRefused() {
  document.getElementById("scan-refused").replaceChildren(...refused.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  document.getElementById("scan-clear").hidden = !refused.length;
}

function showWaiting() {
  const isMany = scans.length > 1 || (next && scans.length);
  say(isMany ? `Scans being sent: ${scans.length}.${next ? " The page you asked for follows." : ""}` : "");
}

function say(text) {
  const place = document.getElementById("scan-waits");
  if (place.textContent !== text) place.textContent = text; // screen readers announce each change
}
