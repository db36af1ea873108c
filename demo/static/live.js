"use strict";

// The live panel: sends notes over a WebSocket and shows what the session holds after each save.

const SESSION_ENDED = 1008;

const panel = document.querySelector("[data-live-panel]");

if (panel) {
  const part = (name) => panel.querySelector(`[data-live-${name}]`);
  const form = part("form");
  const input = form.querySelector("input");
  const button = form.querySelector("button");
  let socket;
  let patience = 1000; // milliseconds before the next attempt to connect

  const say = (state, text) => {
    part("state").dataset.liveState = state;
    part("state").textContent = text;
    button.disabled = state !== "open";
  };

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/live`);

    socket.addEventListener("open", () => {
      patience = 1000;
      say("open", "Connected.");
    });

    socket.addEventListener("message", (event) => {
      const said = JSON.parse(event.data);
      if (said.changed) {
        // Another tab has saved: what it saved is read through this tab's own session.
        socket.send(JSON.stringify({ reload: true }));
      } else if (said.problem) {
        say("open", said.problem);
      } else {
        say("open", "Connected.");
        part("count").textContent = said.notes;
        part("note").textContent = said.note ?? "–";
      }
    });

    socket.addEventListener("close", (event) => {
      if (event.code === SESSION_ENDED) {
        say("ended", "This session has ended. Load the page again to begin a new one.");
        return;
      }
      say("closed", "The connection is lost; trying again …");
      setTimeout(connect, patience);
      patience = Math.min(2 * patience, 30000);
    });
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ note: input.value }));
      input.value = "";
    }
  });

  panel.hidden = false;
  say("closed", "Connecting …");
  connect();
}
