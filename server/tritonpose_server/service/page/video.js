// A video, as the stills that are taken of it while it plays: a recording, or a camera.

import { Problem } from "./problem.js";

const QUALITY = 0.9;

// Larger stills take longer, and tell hardly more.
const LONGEST = 1280;

export class Video {
  element = document.createElement("video");
  // Whether what comes is another scene.
  #reset = true;

  constructor() {
    this.element.muted = this.element.playsInline = true;
    this.element.className = "source";
    this.element.ariaHidden = "true";
    this.element.addEventListener("seeking", () => (this.#reset = true));
  }

  // Opens a file of the user's.
  static async open(file) {
    const video = new Video();
    video.element.src = URL.createObjectURL(file);
    try {
      await happens(video.element, "loadeddata", "error");
      if (!video.element.videoWidth) throw new Error("it has no pictures");
    } catch {
      video.close();
      throw new Problem(
        `“${file.name}” cannot be played by this browser. ` +
          "Most browsers play MP4 with H.264, and WebM.",
      );
    }
    return video;
  }

  // Resolves to the next frame, {time, reset}: that shown when it plays, or when it stops or is
  // somewhere else; null once `signal` is aborted.
  async next(signal) {
    const { element } = this;
    const time = await new Promise((resolve) => {
      const done = new AbortController();
      const end = (value) => {
        done.abort();
        resolve(value);
      };
      const options = { signal: done.signal };
      signal.addEventListener("abort", () => end(null), options);
      element.addEventListener("pause", () => end(element.currentTime), options);
      if (signal.aborted) end(null);
      else whenShown(element, end, done.signal);
    });
    if (time === null) return null;
    const reset = this.#reset;
    this.#reset = false;
    return { time, reset };
  }

  // The current image: {canvas, blob}, of which the latter is a JPEG file.
  async still() {
    const { videoWidth, videoHeight } = this.element;
    const scale = Math.min(LONGEST / Math.max(videoWidth, videoHeight), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(videoWidth * scale);
    canvas.height = Math.round(videoHeight * scale);
    canvas.getContext("2d").drawImage(this.element, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    if (!blob) throw new Problem("The video has no picture.");
    return { canvas, blob };
  }

  close() {
    this.element.pause();
    if (this.element.src) URL.revokeObjectURL(this.element.src);
    this.element.removeAttribute("src");
    this.element.srcObject = null;
    this.element.remove();
  }
}

// Calls back with the time of the next frame shown, in seconds. Browsers show no frames of a page
// that is out of sight: it then rests.
function whenShown(element, callback, signal) {
  const handle = element.requestVideoFrameCallback((_, { mediaTime }) => callback(mediaTime));
  signal.addEventListener("abort", () => element.cancelVideoFrameCallback(handle));
}

function happens(target, good, bad) {
  return new Promise((resolve, reject) => {
    target.addEventListener(good, resolve, { once: true });
    target.addEventListener(bad, reject, { once: true });
  });
}
