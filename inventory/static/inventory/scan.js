// Scans are sent one after the other while the scanner goes on: a slow network loses none and delays none.
const scans = [];
let isSending = false;

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("scan").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.sku;
    if (field.value.trim()) scans.push(field.value.trim());
    field.value = "";
    field.focus();
    if (!isSending) send();
  });
});
window.addEventListener("beforeunload", (event) => { if (scans.length) event.preventDefault(); });

async function send() {
  isSending = true;
  while (scans.length) {
    say(scans.length > 1 ? `${scans.length} scans are on their way.` : "");
    const sku = scans[0];
    const page = await answerTo(sku);
    if (page) {
      scans.shift();
      show(page, sku);
    } else {
      // Sent again with the same key: if it was counted already, it is not counted twice.
      say(`${scans.length} scans could not be sent. They are sent again: leave this page open, and check that you are signed in.`);
      await new Promise((wake) => { setTimeout(wake, 1000); });
    }
  }
  say("");
  isSending = false;
}

// The page that answers a scan; nothing when it is not known whether the scan was counted, or when nobody is signed in.
async function answerTo(sku) {
  const form = document.getElementById("scan");
  const body = new FormData(form);
  body.set("sku", sku);
  try {
    const response = await fetch(form.action, { method: "POST", body });
    if (!response.ok && response.status !== 422) return null;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return page.getElementById("scan-result") ? page : null;
  } catch {
    return null;
  }
}

function show(page, sku) {
  document.getElementById("scan-result").replaceWith(page.getElementById("scan-result"));
  document.querySelector("#scan [name=form_key]").value = page.querySelector("#scan [name=form_key]").value;
  // What was refused stays in sight while others are counted.
  page.querySelectorAll("#scan .errors li, #scan-result [role=alert]").forEach((error) => {
    const item = document.createElement("li");
    item.textContent = `${sku}: ${error.textContent.trim()}`;
    document.getElementById("scan-refused").prepend(item);
  });
}

function say(text) {
  document.getElementById("scan-waits").textContent = text;
}
