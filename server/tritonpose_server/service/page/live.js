// Continuous detection on the webcam's stills: one request at a time, always for the newest still.

import { forget, pictureFromBlob, requestImage } from "./picture.js";
import { Problem } from "./problem.js";
import { detect } from "./service.js";

const BUSY_SECONDS = 1;

// Runs until `signal` is aborted; then resolves. Rejects with the first Problem but that the
// service is busy, which is passed to `onBusy` and tried again.
export async function runLive(webcam, { threshold, onResult, onBusy, signal }) {
  while (!signal.aborted) {
    await nextFrame();
    const began = performance.now();
    const picture = await pictureFromBlob(await webcam.still(), "webcam.jpg", "webcam");
    try {
      const { persons } = await detect(await requestImage(picture), {
        threshold: threshold(),
        signal,
      });
      onResult(picture, persons, began);
    } catch (error) {
      forget(picture);
      if (signal.aborted) return;
      if (!(error instanceof Problem && error.busy)) throw error;
      onBusy(error);
      await pause(error.wait ?? BUSY_SECONDS, signal);
    }
  }
}

// Browsers draw no frames of a page that is out of sight: it then rests.
const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

const pause = (seconds, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", resolve, { once: true });
  });
