// Copies the text of an element, and selects it. Resolves to a message for the user.
export async function copyText(node) {
  getSelection().selectAllChildren(node);
  try {
    await navigator.clipboard.writeText(node.textContent);
    return "Copied.";
  } catch {
    // Browsers keep the clipboard from pages that came neither over https nor from this machine.
    return document.execCommand("copy") ? "Copied." : "Selected: press Ctrl+C.";
  }
}
