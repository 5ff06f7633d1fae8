// The page: connects its controls to what they do.

import { copyText } from "./clipboard.js";
import { saveJson, saveOriginal, savePng } from "./export.js";
import { runLive } from "./live.js";
import { forget, pictureFromAddress, pictureFromBlob, requestImage, stem } from "./picture.js";
import { Problem } from "./problem.js";
import { Results } from "./results.js";
import { showPlayer } from "./player.js";
import { detect } from "./service.js";
import { listenForPictures } from "./sources.js";
import { Video } from "./video.js";
import { Webcam, cameras } from "./webcam.js";

const CONFIRMATION_MS = 4000;

// Elements by their ids.
const $ = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));

// People scored lower are never requested: the page explains why.
const LOWEST = Number($.detection.min);

const results = new Results($);

// The current job; the next one ends it.
let work = new AbortController();

// Runs a job, which gets a signal for when to stop. `again` runs it once more.
async function run(job, again) {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  setLive(false);
  $.message.hidden = true;
  $.stage.ariaBusy = "true";
  try {
    await job(signal);
  } catch (error) {
    if (!signal.aborted) {
      results.remark("");
      report(error, again);
    }
  }
  if (signal.aborted) return;
  setLive(false);
  $.stage.ariaBusy = "false";
}

function report(error, again = null) {
  const expected = error instanceof Problem;
  if (!expected) console.error(error);
  $.messageText.textContent = expected ? error.message : `This page failed: ${error.message}`;
  $.again.hidden = !(again && error.again);
  $.again.onclick = again;
  $.message.hidden = false;
}

function open(load) {
  const job = async (signal) => {
    results.remark("Reading the picture …");
    const picture = await load(signal);
    if (signal.aborted) return forget(picture);
    results.show(picture, null);
    await ask(signal);
  };
  return run(job, () => open(load));
}

// Requests the people in the picture shown.
async function ask(signal) {
  results.remark("Detecting people …");
  const { picture } = results;
  const began = performance.now();
  const { persons } = await detect(await requestImage(picture), { threshold: LOWEST, signal });
  results.show(picture, persons, `answered in ${timeSince(began)}`);
}

const askAgain = () => run(ask, askAgain);

function startWebcam(deviceId) {
  const job = async (signal) => {
    results.remark("Starting the webcam …");
    const webcam = await Webcam.open(deviceId, () => run(reportDisconnect, () => startWebcam()));
    try {
      if (signal.aborted) return;
      results.remark("The webcam is running.");
      setLive(true);
      offerCameras(await cameras(), webcam.deviceId);
      await follow(webcam, "webcam", () => "webcam.jpg", signal);
    } finally {
      webcam.close();
    }
  };
  return run(job, () => startWebcam(deviceId));
}

function openVideo(file) {
  const job = async (signal) => {
    results.remark("Opening the video …");
    const video = await Video.open(file);
    try {
      if (signal.aborted) return;
      showPlayer($, video.element, signal);
      // It begins with the first frame, which is shown already.
      video.element.currentTime = 0;
      // A browser may want its user to begin.
      video.element.play().catch(() => signal.aborted || results.remark("Press Play to begin."));
      await follow(video, "video", (time) => `${stem(file)}_${time.toFixed(2)}s.jpg`, signal);
    } finally {
      video.close();
      // Else it may be another video's by now.
      if (!signal.aborted) $.player.hidden = true;
    }
  };
  return run(job, () => openVideo(file));
}

// Follows the people in a video; `name` as in `runLive`.
async function follow(video, source, name, signal) {
  $.stage.ariaBusy = "false";
  $.status.ariaLive = "off";
  results.play(video.element);
  await runLive(video, {
    source,
    name,
    threshold: () => results.detectionThreshold,
    onResult: showStill,
    onBusy: (problem) => report(problem),
    signal,
  });
}

async function reportDisconnect() {
  throw new Problem("The camera was disconnected.", { again: true });
}

function showStill(picture, persons, { rate, late, dropped }) {
  $.message.hidden = true;
  const parts = [
    rate === null ? "" : `${rate.toFixed(0)} pictures a second`,
    `answered in ${inWords(late)}`,
    dropped ? `${dropped} left out` : "",
  ];
  results.show(picture, persons, parts.filter(Boolean).join(" · "));
}

// Requests the last still once more, down to the lowest score, for the sliders to filter.
function stopWebcam() {
  return run(results.picture?.source === "webcam" ? ask : () => results.remark(""), askAgain);
}

function setLive(live) {
  $.webcam.textContent = live ? "Stop webcam" : "Use webcam";
  $.stage.classList.toggle("live", live);
  $.cameraChoice.hidden = true;
  // New counts several times a second would drown out everything else in a screen reader.
  $.status.ariaLive = live ? "off" : "polite";
}

function offerCameras(devices, current) {
  const options = devices.map(
    ({ deviceId, label }, index) =>
      new Option(label || `Camera ${index + 1}`, deviceId, false, deviceId === current),
  );
  $.camera.replaceChildren(...options);
  $.cameraChoice.hidden = devices.length < 2;
}

const timeSince = (began) => inWords(performance.now() - began);

function inWords(elapsed) {
  return elapsed < 1000 ? `${Math.round(elapsed)} ms` : `${(elapsed / 1000).toFixed(1)} s`;
}

listenForPictures({
  picker: $.file,
  form: $.addressForm,
  onFile: (file, source) =>
    file.type.startsWith("video/")
      ? openVideo(file)
      : open(() => pictureFromBlob(file, file.name || "picture", source)),
  onAddress: (address) => open((signal) => pictureFromAddress(address, signal)),
});
$.webcam.addEventListener("click", () =>
  $.stage.classList.contains("live") ? stopWebcam() : startWebcam(),
);
$.camera.addEventListener("change", () => startWebcam($.camera.value));
$.saveJson.addEventListener("click", () => saveJson(results.picture, results.shown));
$.savePng.addEventListener("click", () =>
  savePng(results.picture, results.shown, results.keypointThreshold).catch(report),
);
$.saveOriginal.addEventListener("click", () => saveOriginal(results.picture));
$.copy.addEventListener("click", async () => {
  $.copied.textContent = await copyText($.command);
  setTimeout(() => ($.copied.textContent = ""), CONFIRMATION_MS);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") results.select(null);
});
$.origin.textContent = location.host;
