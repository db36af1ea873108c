"use strict";

// One WebSocket for each page: it is closed when the session ends, here or on another device, and
// carries the notes of the live panel where the page has one.

const SESSION_ENDED = 1008;

// The live panel: shows what the session holds after each save.
class Panel {
  constructor(element) {
    this.element = element;
    this.form = this.part("form");
    this.input = this.form.querySelector("input");
    element.hidden = false;
    this.say("closed", "Connecting …");
  }

  part(name) {
    return this.element.querySelector(`[data-live-${name}]`);
  }

  say(state, text) {
    this.part("state").dataset.liveState = state;
    this.part("state").textContent = text;
    this.form.querySelector("button").disabled = state !== "open";
  }

  show(said) {
    this.say("open", said.problem ?? "Connected.");
    if (said.problem) return;
    this.part("count").textContent = said.notes;
    this.part("note").textContent = said.note ?? "–";
  }
}

const element = document.querySelector("[data-live-panel]");
const panel = element && new Panel(element);
let socket;
let patience = 1000; // milliseconds before the next attempt to connect
let leaving = false; // whether a form was sent, so that the next page is on its way

// Forms that give the session a new key: the other tabs of this browser are told.
const RENEWING = ["/login", "/confirm"];
const tabs = new BroadcastChannel("session");
let over = "ended"; // what there is to say when the session of this page is over
let forget;
tabs.addEventListener("message", () => {
  over = "renewed";
  // It may have been refused: what ends the session later is something else.
  clearTimeout(forget);
  forget = setTimeout(() => {
    over = "ended";
  }, 5000);
});

const connect = () => {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/live`);

  socket.addEventListener("open", () => {
    patience = 1000;
    panel?.say("open", "Connected.");
  });

  socket.addEventListener("message", (event) => {
    const said = JSON.parse(event.data);
    if (said.changed) {
      // Another tab has saved: what it saved is read through this tab's own session.
      socket.send(JSON.stringify({ reload: true }));
    } else {
      panel?.show(said);
    }
  });

  socket.addEventListener("close", (event) => {
    if (event.code === SESSION_ENDED) {
      panel?.say("ended", "This page is out of date.");
      // Unless a form of this very page has ended it, or given it a new key.
      if (!leaving) document.querySelector(`[data-over="${over}"]`).showModal();
      return;
    }
    panel?.say("closed", "The connection is lost; trying again …");
    setTimeout(connect, patience);
    patience = Math.min(2 * patience, 30000);
  });
};

panel?.form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ note: panel.input.value }));
    panel.input.value = "";
  }
});

document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  // Of two logins at once one is dropped, and the answer to the later one is shown.
  if (leaving) {
    event.preventDefault();
    return;
  }
  leaving = true;
  // It may lead nowhere, or be stopped: nobody is to be locked in.
  setTimeout(() => {
    leaving = false;
  }, 5000);
  if (RENEWING.includes(event.target.getAttribute("action"))) tabs.postMessage("renewing");
});

// Come back to with the browser's own button.
addEventListener("pageshow", (event) => {
  if (event.persisted) leaving = false;
});

connect();
