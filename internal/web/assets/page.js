// What the page does not need but a reader likes. Everything works without it.
"use strict";

document.documentElement.classList.add("js");

// A click anywhere on a row goes where the link of the row goes.
document.addEventListener("click", (event) => {
  const row = event.target.closest("table.rows tbody tr");
  const link = row && row.querySelector("a.row");
  if (!link || event.defaultPrevented || event.target.closest("a, button, input, summary, .tip")) return;
  if (String(getSelection())) return; // text is being copied
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else link.click();
});

// Escape hides the name of a code until the pointer and the focus have left it,
// and closes lists of choices.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const code of document.querySelectorAll(".code:hover, .code:focus-within")) {
    code.classList.add("dismissed");
  }
  closePicks(null);
});
for (const type of ["pointerout", "focusout"]) {
  document.addEventListener(type, (event) => {
    const code = event.target.closest(".code.dismissed");
    if (code && !code.contains(event.relatedTarget)) code.classList.remove("dismissed");
  });
}

function closePicks(target) {
  for (const pick of document.querySelectorAll("details.pick[open]")) {
    if (target && pick.contains(target)) continue;
    if (pick.contains(document.activeElement)) pick.querySelector("summary").focus();
    pick.open = false;
  }
}
document.addEventListener("pointerdown", (event) => closePicks(event.target));

// The form: a mark on Refresh while the rows do not match it, the number of
// what is chosen, and the browser's time zone.
const form = document.querySelector("form.filters");
if (form) {
  const mark = form.querySelector(".changed");
  const changed = (input) => {
    if (input.type === "checkbox") return input.checked !== input.defaultChecked;
    if (input.options) return [...input.options].some((option) => option.selected !== option.defaultSelected);
    return input.name !== "" && input.value !== input.defaultValue;
  };
  const update = () => {
    mark.hidden = ![...form.elements].some((input) => /^(INPUT|SELECT)$/.test(input.tagName) && changed(input));
    for (const pick of form.querySelectorAll("details.pick")) {
      const chosen = pick.querySelectorAll("input:checked").length;
      pick.querySelector("summary span").textContent = chosen ? chosen + " chosen" : "any";
    }
  };
  form.addEventListener("input", update);
  addEventListener("pageshow", update);

  // An address without what is empty; an empty start or end says: no bound.
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "" && name !== "start") event.formData.delete(name);
    }
  });

  const zone = form.querySelector("[data-zone]");
  if (zone) {
    zone.hidden = false;
    zone.addEventListener("click", () => {
      form.elements.tz.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
      update();
    });
  }
}
