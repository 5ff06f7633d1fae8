// The ways in which the user hands over a picture or video: picked, dropped, pasted, by its address.

// Calls `onFile` with (file, source) or `onAddress` with a text.
export function listenForPictures({ picker, form, onFile, onAddress }) {
  // Cleared, so that picking the same file again is a change, too.
  picker.addEventListener("click", () => (picker.value = ""));
  picker.addEventListener("change", () => {
    if (picker.files.length) onFile(picker.files[0], "file");
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onAddress(form.elements.address.value.trim());
  });

  addEventListener("paste", (event) => {
    const isText = event.target.closest?.("input");
    if (!isText && takeFrom(event.clipboardData, "pasted")) event.preventDefault();
  });

  const body = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    // Into no other element: out of the window.
    if (!event.relatedTarget) body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    takeFrom(event.dataTransfer, "file");
  });

  function takeFrom(transfer, source) {
    const file = transfer.files[0];
    const text = transfer.getData("text/uri-list") || transfer.getData("text/plain");
    const address = /^\s*(https?:\/\/\S+)/i.exec(text)?.[1];
    if (file) onFile(file, source);
    else if (address) onAddress(address);
    return Boolean(file || address);
  }
}
