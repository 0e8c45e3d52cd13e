// Sends a chosen or dropped picture with its progress; without this script the same form works as it is.
"use strict";

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const answer = page.getElementById("result");
  const place = document.getElementById("result");
  if (!answer) {
    window.location.assign("/login");
    return;
  }
  place.replaceChildren(...answer.childNodes);
  place.focus();
}

function send(form) {
  const bar = form.querySelector("progress");
  const state = form.querySelector(".state");
  const button = form.querySelector("button");
  const call = new XMLHttpRequest();
  call.open("POST", form.action);
  call.upload.addEventListener("progress", (event) => {
    bar.value = (100 * event.loaded) / event.total;
    state.textContent = event.loaded < event.total ? "Sending…" : "Looking at the picture…";
  });
  call.addEventListener("loadend", () => {
    bar.hidden = true;
    button.disabled = false;
    state.textContent = call.status ? "" : "The connection broke: try again.";
    if (call.status) show(call.responseText);
  });
  bar.value = 0;
  bar.hidden = false;
  button.disabled = true;
  state.textContent = "Sending…";
  call.send(new FormData(form));
}

for (const form of document.querySelectorAll("form.chooser")) {
  const drop = form.querySelector(".drop");
  const input = form.querySelector("input[type=file]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length === 1) {
      input.files = event.dataTransfer.files;
      form.requestSubmit();
    }
  });
}
