// The controls of a video: play, pause, position.

const clock = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// Shows the controls of a video until `signal` is aborted.
export function showPlayer({ player, play, position, clock: output }, video, signal) {
  const options = { signal };
  const show = () => {
    play.textContent = video.paused ? "Play" : "Pause";
    position.max = video.duration;
    position.value = video.currentTime;
    const words = `${clock(video.currentTime)} of ${clock(video.duration)}`;
    position.ariaValueText = words;
    output.value = words;
  };
  for (const event of ["timeupdate", "play", "pause", "seeked", "durationchange"]) {
    video.addEventListener(event, show, options);
  }
  play.addEventListener("click", () => (video.paused ? video.play() : video.pause()), options);
  position.addEventListener("input", () => (video.currentTime = position.valueAsNumber), options);
  signal.addEventListener("abort", () => (player.hidden = true), { once: true });
  player.hidden = false;
  show();
}
