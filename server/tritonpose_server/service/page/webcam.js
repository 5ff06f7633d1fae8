// The webcam, one still at a time.

import { Problem } from "./problem.js";

const REFUSALS = {
  NotAllowedError:
    "The browser was not allowed to use the camera. " +
    "Allow it in the settings of this page, then try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be read: another program may be using it.",
  OverconstrainedError: "The chosen camera is no longer connected.",
};
const QUALITY = 0.9;

export class Webcam {
  #stream;
  #video = document.createElement("video");
  #canvas = document.createElement("canvas");

  // Opens a camera: that of an id, or the one that the browser prefers. `onEnd` is called should
  // it go away by itself.
  static async open(deviceId, onEnd) {
    // Absent from pages that came neither over https nor from this machine.
    if (!navigator.mediaDevices) {
      throw new Problem("Browsers allow the camera only on pages from https:// or localhost.");
    }
    const device = deviceId ? { deviceId: { exact: deviceId } } : {};
    const video = { ...device, width: { ideal: 1280 }, height: { ideal: 720 } };
    const webcam = new Webcam();
    try {
      webcam.#stream = await navigator.mediaDevices.getUserMedia({ video });
      webcam.#track.addEventListener("ended", onEnd);
      webcam.#video.muted = webcam.#video.playsInline = true;
      webcam.#video.srcObject = webcam.#stream;
      await webcam.#video.play();
    } catch (error) {
      webcam.close();
      throw new Problem(REFUSALS[error.name] ?? `The camera cannot be used: ${error.message}`, {
        again: true,
      });
    }
    return webcam;
  }

  get #track() {
    return this.#stream.getVideoTracks()[0];
  }

  get deviceId() {
    return this.#track.getSettings().deviceId;
  }

  // The current image, as a JPEG file.
  still() {
    const { videoWidth, videoHeight } = this.#video;
    this.#canvas.width = videoWidth;
    this.#canvas.height = videoHeight;
    this.#canvas.getContext("2d").drawImage(this.#video, 0, 0);
    return new Promise((resolve, reject) => {
      const settle = (blob) =>
        blob ? resolve(blob) : reject(new Problem("The camera sends no picture."));
      this.#canvas.toBlob(settle, "image/jpeg", QUALITY);
    });
  }

  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#video.srcObject = null;
  }
}

export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}
