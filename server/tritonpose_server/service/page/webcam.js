// The webcam.

import { Problem } from "./problem.js";
import { Video } from "./video.js";

const REFUSALS = {
  NotAllowedError:
    "The browser was not allowed to use the camera. " +
    "Allow it in the settings of this page, then try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera cannot be read: another program may be using it.",
  OverconstrainedError: "The chosen camera is no longer connected.",
};

export class Webcam extends Video {
  #stream;

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
      webcam.element.srcObject = webcam.#stream;
      await webcam.element.play();
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

  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    super.close();
  }
}

export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}
