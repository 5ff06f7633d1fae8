// A list from which one entry is chosen: one tab stop, arrow keys, pointer.
//
// Entries are {label, cells, color, faint}: what a screen reader says, the texts of the row's
// columns, an optional swatch, and whether the row is set back. Rows are kept from one rendering
// to the next, so that the focus stays while the webcam runs.
export class Listbox {
  #element;
  #chosen = null;

  // `onChoose` is called with an index; `onHover` with an index, or null when the pointer leaves.
  constructor(element, { onChoose, onHover }) {
    this.#element = element;
    const choose = (event) => {
      const index = this.#indexOf(event.target);
      if (index !== null) onChoose(index);
    };
    element.addEventListener("focusin", choose);
    element.addEventListener("click", choose);
    element.addEventListener("keydown", (event) => this.#onKey(event));
    element.addEventListener("pointerover", (event) => {
      if (event.pointerType !== "touch") onHover(this.#indexOf(event.target));
    });
    element.addEventListener("pointerleave", () => onHover(null));
  }

  // `chosen`: index of the chosen entry, null for none.
  render(entries, chosen) {
    const rows = this.#element.children;
    while (rows.length > entries.length) this.#element.lastChild.remove();
    while (rows.length < entries.length) this.#element.append(newRow());
    entries.forEach((entry, index) => {
      updateRow(rows[index], entry, index === chosen, index === (chosen ?? 0));
    });
    if (chosen !== null && chosen !== this.#chosen) this.#reveal(rows[chosen]);
    this.#chosen = chosen;
  }

  // Scrolls the list alone: on a phone, the picture must not leave the screen for it.
  #reveal({ offsetTop: top, offsetHeight: height }) {
    const { scrollTop, clientHeight } = this.#element;
    this.#element.scrollTop = Math.max(Math.min(scrollTop, top), top + height - clientHeight);
  }

  #onKey(event) {
    const last = this.#element.children.length - 1;
    const index = this.#indexOf(event.target);
    const target = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: last }[event.key];
    if (index === null || target === undefined) return;
    event.preventDefault();
    this.#element.children[Math.min(Math.max(target, 0), last)].focus();
  }

  #indexOf(node) {
    const index = [...this.#element.children].indexOf(node.closest("[role=option]"));
    return index < 0 ? null : index;
  }
}

function newRow() {
  const row = document.createElement("li");
  row.setAttribute("role", "option");
  return row;
}

function updateRow(row, { label, cells, color, faint }, chosen, stop) {
  while (row.children.length < cells.length) row.append(document.createElement("span"));
  row.setAttribute("aria-label", label);
  row.setAttribute("aria-selected", String(chosen));
  row.tabIndex = stop ? 0 : -1;
  row.classList.toggle("faint", Boolean(faint));
  row.style.setProperty("--swatch", color ?? "transparent");
  cells.forEach((text, index) => {
    if (row.children[index].textContent !== text) row.children[index].textContent = text;
  });
}
