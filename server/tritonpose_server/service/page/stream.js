// The people in moving pictures: a WebSocket of the service, which gives each person an id.

import { askForKey, hasKey, keyMessage } from "./key.js";
import { describeKeypoints } from "./keypoints.js";
import { Problem } from "./problem.js";
import { ENDPOINT, failure, parsed, unreachable } from "./service.js";

const ADDRESS = `${ENDPOINT.replace(/^http/, "ws")}/track`;

export class Stream {
  #socket = null;
  #opening = null;
  #signal;
  #threshold;
  #said;
  // What waits for an answer, by the number of its picture.
  #pending = new Map();
  #sent = 0;

  // `threshold`: called for the lowest score of people. Closed once `signal` is aborted.
  constructor({ threshold, signal }) {
    this.#threshold = threshold;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#socket?.close(), { once: true });
  }

  // Sends a picture's file, taken at a time in seconds; `reset`: nobody was seen before. Resolves
  // to the service's `result`; rejects with a Problem. The connection is opened when needed: the
  // service closes one that is not used.
  async send(blob, time, reset) {
    // A connection that is open still has to be greeted, and may have to have the key.
    if (this.#opening || this.#socket?.readyState !== WebSocket.OPEN) {
      this.#opening ??= this.#open().finally(() => (this.#opening = null));
      await this.#opening;
    }
    const socket = this.#socket;
    const detThreshold = this.#threshold();
    const changed = detThreshold !== this.#said ? { detThreshold } : {};
    this.#said = detThreshold;
    socket.send(JSON.stringify({ time, reset, ...changed }));
    socket.send(blob);
    return new Promise((resolve, reject) => {
      this.#pending.set(this.#sent++, { resolve, reject });
    });
  }

  async #open() {
    for (;;) {
      this.#signal.throwIfAborted();
      const answer = await this.#greet();
      if (answer.errorCode === 0) return;
      if (answer.errorCode !== 401) throw failure(answer.errorCode, answer);
      await askForKey(hasKey(), this.#signal);
    }
  }

  // Connects, and resolves to what the service answers first.
  #greet() {
    const socket = (this.#socket = new WebSocket(ADDRESS));
    this.#sent = 0;
    this.#said = undefined;
    return new Promise((resolve, reject) => {
      socket.onopen = () => socket.send(JSON.stringify(keyMessage()));
      socket.onmessage = ({ data }) => {
        socket.onmessage = (message) => this.#take(parsed(message.data));
        resolve(parsed(data) ?? {});
      };
      socket.onclose = async () => {
        // Only where no answer came: else nobody looks at this.
        const problem = await unreachable(
          "The connection on which people are followed was cut, though the service runs: " +
            "a proxy between it and this page may let no WebSockets through.",
        );
        reject(problem);
        this.#fail(problem);
      };
    });
  }

  #take(answer) {
    const waiting = this.#pending.get(answer?.result?.frame ?? answer?.frame);
    if (answer?.errorCode === 0 && waiting) {
      describeKeypoints(answer.result);
      waiting.resolve(answer.result);
    } else if (waiting) {
      waiting.reject(failure(answer.errorCode, answer));
    } else {
      this.#fail(failure(answer?.errorCode, answer));
      return;
    }
    this.#pending.delete(answer.result?.frame ?? answer.frame);
  }

  #fail(problem) {
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    waiting.forEach(({ reject }) => reject(problem));
  }
}
