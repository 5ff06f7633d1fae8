// Follows the people in a video while it plays: the newest picture first.

import { Problem } from "./problem.js";
import { Stream } from "./stream.js";
import { Trails } from "./trails.js";

// Pictures on their way: while the service works on one, the next one travels.
const MOST = 2;
const BUSY_SECONDS = 1;

// Of the rate: answers counted.
const COUNTED = 20;

// Runs until `signal` is aborted; then resolves. Rejects with the first Problem. Where the service
// is only busy, calls `onBusy` with it, and goes on with the next picture after a pause. Calls
// `onResult` with (picture, persons, {rate, late, dropped}): pictures a second, the milliseconds
// that the last one took, and how many were left out as others were on their way. `name` is that
// of a picture taken at a time.
export async function runLive(video, { source, name, threshold, onResult, onBusy, signal }) {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const stream = new Stream({ threshold, signal: either });
  const trails = new Trails();
  const rate = new Rate();
  const underWay = new Set();
  let last = -Infinity;
  let dropped = 0;

  async function follow({ canvas, blob }, time, reset) {
    const began = performance.now();
    try {
      const { frame, persons } = await stream.send(blob, time, reset);
      if (either.aborted) return;
      // The first picture of a connection: the service knows nobody.
      if (reset || frame === 0) trails.clear();
      trails.add(persons, time);
      const { width, height } = canvas;
      const picture = { name: name(time), source, image: canvas, width, height, blob, address: null };
      const late = performance.now() - began;
      onResult(picture, persons, { rate: rate.count(), late, dropped });
    } catch (error) {
      if (either.aborted) return;
      if (!(error instanceof Problem && error.busy)) return failed.abort(error);
      onBusy(error);
      await pause(error.wait ?? BUSY_SECONDS, either);
    }
  }

  for (let reset = false; ; ) {
    const frame = await video.next(either);
    if (!frame) break;
    reset ||= frame.reset;
    if (!reset && frame.time === last) continue;
    if (underWay.size >= MOST && !video.element.paused) {
      dropped += 1;
      continue;
    }
    // Nothing follows where it stands still: that picture has to be shown.
    while (underWay.size >= MOST) await Promise.race(underWay);
    const still = await video.still();
    last = reset ? frame.time : Math.max(frame.time, last + 0.001);
    const work = follow(still, last, reset).finally(() => underWay.delete(work));
    underWay.add(work);
    reset = false;
  }
  if (failed.signal.aborted && !signal.aborted) throw failed.signal.reason;
}

// Answers a second, by their number in the time that they took: cameras are not even.
class Rate {
  #times = [];

  count() {
    this.#times = [...this.#times, performance.now()].slice(-COUNTED);
    const seconds = (this.#times.at(-1) - this.#times[0]) / 1000;
    return seconds ? (this.#times.length - 1) / seconds : null;
  }
}

const pause = (seconds, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", resolve, { once: true });
  });
