// The API key, where the service requires one. It is kept as long as the tab is open.

import { Problem } from "./problem.js";

const NAME = "tritonpose-api-key";

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

// What the first message of a WebSocket has, with which browsers send no headers of ours.
export function keyMessage() {
  return hasKey() ? { key: sessionStorage.getItem(NAME) } : {};
}

// Asks the user for the key; rejects with a Problem if the user cancels.
export async function askForKey(again, signal) {
  sessionStorage.setItem(NAME, await enteredKey(again, signal));
}

export function keyHeaders() {
  const key = sessionStorage.getItem(NAME);
  return key === null ? {} : { "X-API-Key": key };
}

// Like `fetch`, with the key; asks the user for one where the service requires it or refuses the
// last one. Rejects with a Problem if the user cancels.
export async function fetchWithKey(address, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...keyHeaders() };
    const response = await fetch(address, { ...options, headers });
    if (response.status !== 401) return response;
    await askForKey(hasKey(), options.signal);
  }
}

// Shows a dialog; `again` says that the last key was wrong.
function enteredKey(again, signal) {
  const dialog = element("dialog", { className: "key" });
  const label = element("label", {
    textContent: again ? "The service does not know this API key. Another one:" : "API key:",
  });
  // No name, so that the browser does not store it. Headers can only contain ASCII.
  const input = element("input", {
    type: "password",
    autocomplete: "off",
    required: true,
    pattern: "[!-~]+",
  });
  label.append(input);
  const cancel = element("button", { type: "button", textContent: "Cancel" });
  const form = element("form", {});
  const use = element("button", { className: "button primary", textContent: "Use this key" });
  form.append(label, cancel, use);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve, reject) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      resolve(input.value);
    });
    cancel.addEventListener("click", () => dialog.close());
    // Cancel, Escape.
    dialog.addEventListener("close", () =>
      reject(new Problem("The service requires an API key.", { again: true })),
    );
    signal?.addEventListener("abort", () => reject(signal.reason));
  }).finally(() => dialog.remove());
}

const element = (tag, properties) => Object.assign(document.createElement(tag), properties);
