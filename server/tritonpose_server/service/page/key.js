// The API key, where the service asks for one. It is kept as long as the tab is open.

import { Problem } from "./problem.js";

const NAME = "tritonpose-api-key";

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

export function keyHeaders() {
  const key = sessionStorage.getItem(NAME);
  return key === null ? {} : { "X-API-Key": key };
}

// As `fetch`, with the key; asks the user for it where the service wants one, or another. Rejects
// with a Problem if the user has none.
export async function fetchWithKey(address, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...keyHeaders() };
    const response = await fetch(address, { ...options, headers });
    if (response.status !== 401) return response;
    sessionStorage.setItem(NAME, await enteredKey(hasKey(), options.signal));
  }
}

// Shows a dialog; `again` says that the last key was wrong.
function enteredKey(again, signal) {
  const dialog = element("dialog", { className: "key" });
  const label = element("label", {
    textContent: again ? "The service does not know this API key. Another one:" : "API key:",
  });
  // No name, so that the browser keeps it nowhere but where we do. Headers take ASCII alone.
  const input = element("input", {
    type: "password",
    autocomplete: "off",
    required: true,
    pattern: "[!-~]+",
  });
  label.append(input);
  const cancel = element("button", { type: "button", textContent: "Cancel" });
  const form = element("form", {});
  form.append(label, cancel, element("button", { textContent: "Use it" }));
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
      reject(new Problem("The service asks for an API key.", { again: true })),
    );
    signal?.addEventListener("abort", () => reject(signal.reason));
  }).finally(() => dialog.remove());
}

const element = (tag, properties) => Object.assign(document.createElement(tag), properties);
